"""A hostile proxy in front of a real node: never a wrong block, at most NodeUnavailable."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from chain_adapters.ethereum.adapter import EthereumAdapter
from chain_adapters.types import Block, NodeUnavailable, Payment, WrongNetwork
from devstack.chains.anvil import Anvil
from tests.support.chain_worlds import AnvilWorld, open_anvil_world

JSON = {"Content-Type": "application/json"}
Calls = list[dict[str, Any]]
Answers = list[dict[str, Any]]
Spoil = Callable[[Calls, Answers], bytes]
"""Turns what was asked and honestly answered into what is sent."""


class Proxy:
    """Forwards to a node and spoils the answers."""

    def __init__(self, url: str, spoil: Spoil) -> None:
        self.spoil = spoil
        self.delay_s = 0.0
        self.url = ""
        self._upstream = url
        self._session: aiohttp.ClientSession | None = None

    async def handle(self, request: web.Request) -> web.Response:
        body = await request.read()
        await asyncio.sleep(self.delay_s)
        assert self._session is not None
        async with self._session.post(self._upstream, data=body, headers=JSON) as response:
            answers = await response.json()
        calls = json.loads(body)
        if isinstance(calls, dict):
            sent = self.spoil([calls], [answers])
            unwrapped = json.loads(sent)[0] if is_json(sent) else None
            sent = sent if unwrapped is None else json.dumps(unwrapped).encode()
        else:
            sent = self.spoil(calls, answers)
        return web.Response(body=sent, content_type="application/json")

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Proxy]:
        app = web.Application()
        app.router.add_post("/", self.handle)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.url = "http://{}:{}".format(*runner.addresses[0][:2])
        try:
            async with aiohttp.ClientSession() as self._session:
                yield self
        finally:
            await runner.cleanup()


def is_json(raw: bytes) -> bool:
    try:
        json.loads(raw)
    except ValueError:
        return False
    return True


def send(answers: Answers) -> bytes:
    return json.dumps(answers).encode()


def be_honest(_: Calls, answers: Answers) -> bytes:
    return send(answers)


def spoil_results(method: str, change: Callable[[Any], Any]) -> Spoil:
    """Change the results of one method."""

    def spoil(calls: Calls, answers: Answers) -> bytes:
        for call, answer in zip(calls, answers, strict=True):
            if call["method"] == method and "result" in answer:
                answer["result"] = change(answer["result"])
        return send(answers)

    return spoil


def truncate(calls: Calls, answers: Answers) -> bytes:
    raw = send(answers)
    return raw if calls[0]["method"] == "eth_chainId" else raw[: len(raw) // 2]


def refuse_all(calls: Calls, answers: Answers) -> bytes:
    fault = {"code": -32000, "message": "internal error"}
    return send([{"jsonrpc": "2.0", "id": call["id"], "error": fault} for call in calls])


def drop_last_answer(_: Calls, answers: Answers) -> bytes:
    return send(answers[:-1] or answers)


def answer_others(method: str) -> Spoil:
    """Answer other requests than those that were asked together with the method."""

    def spoil(calls: Calls, answers: Answers) -> bytes:
        if method in {call["method"] for call in calls}:
            answers = [{**answer, "id": answer["id"] + 1000} for answer in answers]
        return send(answers)

    return spoil


def other_hash(receipt: dict[str, Any]) -> dict[str, Any]:
    return {**receipt, "blockHash": "0x" + 64 * "e"}


RECEIPTS, BLOCK = "eth_getBlockReceipts", "eth_getBlockByNumber"
LIES: dict[str, Spoil] = {
    "truncated": truncate,
    "error": refuse_all,
    "an answer missing": drop_last_answer,
    "null receipts": spoil_results(RECEIPTS, lambda _: None),
    "no receipts": spoil_results(RECEIPTS, lambda _: []),
    "a receipt missing": spoil_results(RECEIPTS, lambda found: found[:-1]),
    "a receipt null": spoil_results(RECEIPTS, lambda found: [*found[:-1], None]),
    "a receipt twice": spoil_results(RECEIPTS, lambda found: [found[0]] * len(found)),
    "receipts reversed": spoil_results(RECEIPTS, lambda found: found[::-1]),
    "receipts of another block": spoil_results(
        RECEIPTS, lambda found: [other_hash(receipt) for receipt in found]
    ),
    "answers to others": answer_others(BLOCK),
    "traces for others": answer_others("debug_traceBlockByHash"),
    "another height": spoil_results(BLOCK, lambda found: {**found, "number": "0x1"}),
    "another hash": spoil_results(BLOCK, lambda found: {**found, "hash": "0x" + 64 * "e"}),
    "hashes of transactions only": spoil_results(
        BLOCK, lambda found: {**found, "transactions": [t["hash"] for t in found["transactions"]]}
    ),
    "a transaction missing": spoil_results(
        BLOCK, lambda found: {**found, "transactions": found["transactions"][:-1]}
    ),
    "no traces": spoil_results("debug_traceBlockByHash", lambda _: []),
    "null traces": spoil_results("debug_traceBlockByHash", lambda _: None),
    "a trace not made": spoil_results(
        "debug_traceBlockByHash", lambda found: [*found[:-1], {"error": "execution timeout"}]
    ),
    "a trace missing": spoil_results("debug_traceBlockByHash", lambda found: found[:-1]),
    "traces of other transactions": spoil_results(
        "debug_traceBlockByHash", lambda found: found[::-1]
    ),
}


@pytest.fixture(scope="module")
async def world(anvil: Anvil) -> AsyncIterator[AnvilWorld]:
    opened = await open_anvil_world(anvil)
    yield opened
    await opened.close()


@pytest.fixture(scope="module")
async def mined(world: AnvilWorld) -> Block:
    """A block of two transactions from different senders."""
    senders = [world.new_address() for _ in range(2)]
    for sender in senders:
        await world.fund(sender, 10**18)
    for sender in senders:
        signed = await world.order(Payment(sender, world.new_address(), None, 5))
        await world.adapter.broadcast(signed)
    await world.mine()
    block = await world.adapter.fetch_block(await world.height())
    assert block is not None
    assert len(block.transactions) == 2
    return block


@asynccontextmanager
async def adapter_for(anvil: Anvil, *urls: str, **changes: Any) -> AsyncIterator[EthereumAdapter]:  # noqa: ANN401
    settings = {"timeout_s": 0.3, "traces": "always", "poll_interval_s": 0.02, **changes}
    adapter = EthereumAdapter(f"eip155:{anvil.chain_id}", urls, **settings)
    try:
        yield adapter
    finally:
        await adapter.close()


@pytest.mark.parametrize("name", LIES)
async def test_a_lie_is_no_block_and_the_honest_endpoint_is_asked(
    anvil: Anvil, mined: Block, name: str
) -> None:
    async with Proxy(anvil.rpc_url, be_honest).running() as proxy:
        async with adapter_for(anvil, proxy.url) as adapter:
            assert await adapter.fetch_block(mined.height) == mined
            proxy.spoil = LIES[name]
            with pytest.raises(NodeUnavailable):
                await adapter.fetch_block(mined.height)
        async with adapter_for(anvil, proxy.url, anvil.rpc_url) as adapter:
            assert await adapter.fetch_block(mined.height) == mined


async def test_a_slow_endpoint_is_passed_over(anvil: Anvil, mined: Block) -> None:
    async with Proxy(anvil.rpc_url, be_honest).running() as proxy:
        proxy.delay_s = 1.0
        async with adapter_for(anvil, proxy.url, anvil.rpc_url) as adapter:
            assert await adapter.fetch_block(mined.height) == mined


async def test_a_lagging_endpoint_hides_no_block(anvil: Anvil, mined: Block) -> None:
    lag = spoil_results(BLOCK, lambda _: None)
    async with (
        Proxy(anvil.rpc_url, lag).running() as proxy,
        adapter_for(anvil, proxy.url, anvil.rpc_url) as both,
        adapter_for(anvil, proxy.url) as alone,
    ):
        assert await both.fetch_block(mined.height) == mined
        assert await alone.fetch_block(mined.height) is None


async def test_answers_in_another_order_are_still_the_block(anvil: Anvil, mined: Block) -> None:
    async with (
        Proxy(anvil.rpc_url, lambda _, answers: send(answers[::-1])).running() as proxy,
        adapter_for(anvil, proxy.url) as adapter,
    ):
        assert await adapter.fetch_block(mined.height) == mined


def lack(method: str) -> Spoil:
    def spoil(calls: Calls, answers: Answers) -> bytes:
        fault = {"code": -32601, "message": f"the method {method} does not exist/is not available"}
        lacking = [
            {"jsonrpc": "2.0", "id": call["id"], "error": fault}
            if call["method"] == method
            else answer
            for call, answer in zip(calls, answers, strict=True)
        ]
        return send(lacking)

    return spoil


async def test_receipts_are_read_one_by_one_where_the_node_lacks_better(
    anvil: Anvil, mined: Block
) -> None:
    methods: list[str] = []

    def observe(_network: str, method: str, _endpoint: int, _seconds: float, _ok: bool) -> None:
        methods.append(method)

    async with (
        Proxy(anvil.rpc_url, lack(RECEIPTS)).running() as proxy,
        adapter_for(anvil, proxy.url, observe=observe) as adapter,
    ):
        for _ in range(3):
            assert await adapter.fetch_block(mined.height) == mined
    assert sum(RECEIPTS in method for method in methods) == 1


async def test_without_traces_anywhere_blocks_are_read_without_inner_calls(
    anvil: Anvil, mined: Block
) -> None:
    async with Proxy(anvil.rpc_url, lack("debug_traceBlockByHash")).running() as proxy:
        async with adapter_for(anvil, proxy.url, traces="auto") as adapter:
            assert await adapter.fetch_block(mined.height) == mined
        async with adapter_for(anvil, proxy.url, traces="always") as adapter:
            with pytest.raises(NodeUnavailable):
                await adapter.fetch_block(mined.height)


async def test_traces_that_were_there_and_fail_make_no_block(anvil: Anvil, mined: Block) -> None:
    async with (
        Proxy(anvil.rpc_url, be_honest).running() as proxy,
        adapter_for(anvil, proxy.url, traces="auto") as adapter,
    ):
        assert await adapter.fetch_block(mined.height) == mined
        proxy.spoil = lack("debug_traceBlockByHash")
        with pytest.raises(NodeUnavailable):
            await adapter.fetch_block(mined.height)


async def test_an_endpoint_that_could_not_be_asked_leaves_traces_undecided(
    anvil: Anvil, mined: Block
) -> None:
    async with (
        Proxy(anvil.rpc_url, lack("debug_traceBlockByHash")).running() as lacking,
        Proxy(anvil.rpc_url, refuse_all).running() as failing,
        adapter_for(anvil, lacking.url, failing.url, traces="auto") as adapter,
    ):
        with pytest.raises(NodeUnavailable):
            await adapter.fetch_block(mined.height)
        failing.spoil = be_honest
        assert await adapter.fetch_block(mined.height) == mined


async def test_another_chain_is_refused(anvil: Anvil, mined: Block) -> None:
    adapter = EthereumAdapter("eip155:1", [anvil.rpc_url])
    with pytest.raises(WrongNetwork):
        await adapter.fetch_block(mined.height)
    with pytest.raises(WrongNetwork):
        await anext(adapter.watch_tip())
    await adapter.close()


async def test_a_tip_that_goes_back_is_told_as_it_is(anvil: Anvil, mined: Block) -> None:
    async with (
        Proxy(anvil.rpc_url, be_honest).running() as proxy,
        adapter_for(anvil, proxy.url) as adapter,
        aclosing(adapter.watch_tip()) as tips,
    ):
        assert (await anext(tips)).height == mined.height
        proxy.spoil = spoil_results(BLOCK, lambda found: {**found, "number": "0x1"})
        assert (await anext(tips)).height == 1


async def test_a_node_that_stands_still_is_left_for_one_that_goes_on(
    anvil: Anvil, world: AnvilWorld, mined: Block
) -> None:
    stale: list[Any] = []

    def stand_still(found: dict[str, Any]) -> object:
        stale.append(found)
        return stale[0]

    async with (
        Proxy(anvil.rpc_url, spoil_results(BLOCK, stand_still)).running() as proxy,
        adapter_for(anvil, proxy.url, anvil.rpc_url, silence_s=0.1) as adapter,
        asyncio.timeout(20),
        aclosing(adapter.watch_tip()) as tips,
    ):
        height = (await anext(tips)).height
        await world.mine(2)
        assert (await anext(tips)).height == height + 2


async def test_a_lost_answer_to_a_broadcast_is_unknown_and_sent_again_is_harmless(
    anvil: Anvil, world: AnvilWorld, mined: Block
) -> None:
    sender, recipient = world.new_address(), world.new_address()
    await world.fund(sender, 10**18)
    signed = await world.order(Payment(sender, recipient, None, 5))
    async with (
        Proxy(anvil.rpc_url, truncate).running() as proxy,
        adapter_for(anvil, proxy.url) as adapter,
    ):
        with pytest.raises(NodeUnavailable):
            await adapter.broadcast(signed)
        proxy.spoil = be_honest
        assert (await adapter.broadcast(signed)).outcome == "accepted"
        await world.mine()
        assert (await adapter.broadcast(signed)).outcome == "accepted"
    assert await world.balance(recipient, None, await world.height()) == 5
