"""What only Ethereum's adapter promises, on a real node: pushed heads, odd tokens, recipients."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from chain_adapters.ethereum import heads
from chain_adapters.ethereum.adapter import EthereumAdapter
from chain_adapters.ethereum.decode import TRANSFER_TOPIC
from chain_adapters.types import (
    Payment,
    PaymentRefused,
    Tip,
    WrongNetwork,
)
from devstack.chains.anvil import Anvil
from tests.support.chain_worlds import AnvilWorld, open_anvil_world

ANSWER_FALSE = "0x5f5f5260205ff3"
"""A contract that answers any call with 0, and logs nothing."""
LOG_UNINDEXED = f"0x7f{TRANSFER_TOPIC[2:]}60006000a1{ANSWER_FALSE[2:]}"
"""The same behind a Transfer event without indexed fields."""
STOP = "00"


@pytest.fixture(scope="module")
async def world(anvil: Anvil) -> AsyncIterator[AnvilWorld]:
    opened = await open_anvil_world(anvil)
    yield opened
    await opened.close()


@pytest.mark.parametrize(
    ("code", "succeeded"), [(ANSWER_FALSE, False), (LOG_UNINDEXED, True)], ids=["silent", "logged"]
)
async def test_a_token_payment_that_is_answered_with_false_succeeded_if_a_transfer_was_logged(
    world: AnvilWorld, code: str, *, succeeded: bool
) -> None:
    """Status 1 in any case: the token was another one when it was tried out."""
    sender = world.new_address()
    await world.fund(sender, 10**18)
    token = world.adapter.parse_contract(await world.issue_token(sender, 100))
    signed = await world.order(Payment(sender, world.new_address(), token, 40))
    await world.call("anvil_setCode", token, code)
    await world.adapter.broadcast(signed)
    await world.mine()
    receipt = await world.call("eth_getTransactionReceipt", signed.transaction_id)
    assert receipt["status"] == "0x1"
    block = await world.adapter.fetch_block(await world.height())
    assert block is not None
    (mined,) = [t for t in block.transactions if t.id == signed.transaction_id]
    assert (mined.succeeded, mined.transfers) == (succeeded, ())


@asynccontextmanager
async def tips_of(
    anvil: Anvil, push_url: str, *, poll_interval_s: float, silence_s: float = 60.0
) -> AsyncIterator[AsyncGenerator[Tip, None]]:
    adapter = EthereumAdapter(
        f"eip155:{anvil.chain_id}",
        [anvil.rpc_url],
        push_url=push_url,
        poll_interval_s=poll_interval_s,
        silence_s=silence_s,
    )
    try:
        async with asyncio.timeout(20), aclosing(adapter.watch_tip()) as tips:
            yield tips
    finally:
        await adapter.close()


async def reach(tips: AsyncGenerator[Tip, None], height: int) -> None:
    """Listen until a height is told."""
    while (await anext(tips)).height < height:
        pass


def storing(words: int) -> str:
    """Code that writes so many new words into the contract's storage: 22,100 gas each."""
    return "0x" + "".join(f"600160{word:02x}55" for word in range(words)) + STOP


async def test_a_recipient_that_has_its_own_work_done_at_our_expense_is_refused(
    world: AnvilWorld,
) -> None:
    """One word is what a wallet that is a contract may well write; fifty are other business."""
    sender = world.new_address()
    await world.fund(sender, 10**18)
    modest, greedy = await world.deploy(storing(1)), await world.deploy(storing(50))
    assert (await world.adapter.quote(Payment(sender, modest, None, 1))).fee_minor_max > 0
    with pytest.raises(PaymentRefused) as refused:
        await world.adapter.quote(Payment(sender, greedy, None, 1))
    assert refused.value.reason == "recipient_takes_gas"


@asynccontextmanager
async def second_layer(anvil: Anvil) -> AsyncIterator[str]:
    """The node, as if its estimates had a share for another chain, which falls all the time."""
    share = 2_000_000

    async def pass_on(request: web.Request) -> web.Response:
        nonlocal share
        asked = await request.json()
        async with session.post(anvil.rpc_url, json=asked) as response:
            told = await response.json()
        calls = {call["id"]: call["method"] for call in (asked if type(asked) is list else [asked])}
        for reply in told if type(told) is list else [told]:
            if calls[reply["id"]] == "eth_estimateGas" and "result" in reply:
                reply["result"] = hex(int(reply["result"], 16) + share)
                share -= 200_000
        return web.json_response(told)

    app = web.Application()
    app.router.add_post("/", pass_on)
    async with aiohttp.ClientSession() as session, TestServer(app) as server:
        yield str(server.make_url("/"))


async def test_what_the_chain_takes_of_any_payment_is_no_work_of_the_recipient(
    anvil: Anvil, world: AnvilWorld
) -> None:
    sender = world.new_address()
    await world.fund(sender, 10**18)
    async with second_layer(anvil) as url:
        adapter = EthereumAdapter(f"eip155:{anvil.chain_id}", [url])
        try:
            quote = await adapter.quote(Payment(sender, world.new_address(), None, 1))
        finally:
            await adapter.close()
    assert quote.fee_minor_max > 0


async def test_new_heads_are_pushed(anvil: Anvil, world: AnvilWorld) -> None:
    height = await world.height()
    async with tips_of(anvil, anvil.push_url, poll_interval_s=3600) as tips:
        await reach(tips, height)
        for step in range(1, 4):
            await world.mine()
            await reach(tips, height + step)


class Socket:
    """A WebSocket endpoint that subscribes, pushes what it is given, and then nothing more."""

    def __init__(self, chain_id: int, *pushed: bytes) -> None:
        self.subscribers = 0
        self.url = ""
        self._chain_id = chain_id
        self._pushed = pushed
        self._open: set[web.WebSocketResponse] = set()

    async def handle(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self._open.add(socket)
        async for message in socket:
            call = json.loads(message.data)
            subscribes = call["method"] == "eth_subscribe"
            self.subscribers += subscribes
            result = "0x1" if subscribes else hex(self._chain_id)
            await socket.send_json({"jsonrpc": "2.0", "id": call["id"], "result": result})
            for pushed in self._pushed if subscribes else ():
                await socket.send_bytes(pushed)
        self._open.discard(socket)
        return socket

    async def drop_all(self) -> None:
        for socket in list(self._open):
            await socket.close()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Socket]:
        app = web.Application()
        app.router.add_get("/", self.handle)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.url = "ws://{}:{}".format(*runner.addresses[0][:2])
        try:
            yield self
        finally:
            await self.drop_all()
            await runner.cleanup()


async def test_a_socket_that_falls_silent_is_no_blindness(anvil: Anvil, world: AnvilWorld) -> None:
    height = await world.height()
    async with (
        Socket(anvil.chain_id).running() as socket,
        tips_of(anvil, socket.url, poll_interval_s=0.05, silence_s=0.1) as tips,
    ):
        await reach(tips, height)
        for step in range(1, 4):
            await world.mine()
            await reach(tips, height + step)


def head(number: str) -> bytes:
    pushed = {"number": number, "hash": "0x" + 64 * "a"}
    return json.dumps({"params": {"result": pushed}}).encode()


async def test_heads_that_come_together_are_all_told_before_the_node_is_asked_what_is_final(
    anvil: Anvil, world: AnvilWorld
) -> None:
    await world.mine(40)  # so that something is safe
    heights = [await world.height() + step for step in range(1, 6)]
    async with (
        Socket(anvil.chain_id, *(head(hex(height)) for height in heights)).running() as socket,
        tips_of(anvil, socket.url, poll_interval_s=3600) as tips,
    ):
        first = await anext(tips)
        await world.mine()
        assert first.safe_height is not None
        told = [(tip.height, tip.safe_height) for tip in [await anext(tips) for _ in range(6)]]
    assert told == [
        *((height, first.safe_height) for height in heights),
        (heights[-1], first.safe_height + 1),
    ]


async def test_heads_that_never_pause_do_not_put_off_what_is_final_for_ever(
    anvil: Anvil, world: AnvilWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heads, "_UNASKED_S_MAX", 0.0)
    await world.mine(40)  # so that something is safe
    heights = [await world.height() + step for step in range(1, 4)]
    async with (
        Socket(anvil.chain_id, *(head(hex(height)) for height in heights)).running() as socket,
        tips_of(anvil, socket.url, poll_interval_s=3600) as tips,
    ):
        first = await anext(tips)
        await world.mine()
        assert first.safe_height is not None
        told = [(tip.height, tip.safe_height) for tip in [await anext(tips) for _ in range(3)]]
    assert told == [
        (heights[0], first.safe_height),
        (heights[0], first.safe_height + 1),
        (heights[1], first.safe_height + 1),
    ]


NONSENSE = {
    "no json": b"{",
    "no text": b'{"params":{"result":{"number":"\xff","hash":"0x"}}}',
    "nested": b'{"params":' + b"[" * 20_000 + b"]" * 20_000 + b"}",
    "nested where nobody looks": b'{"more":' + b"[" * 20_000 + b"]" * 20_000 + b"}",
    "no number": head("0xheight"),
    "a number that no chain has": head(hex(2**63)),
    "a negative number": head("-0x1"),
}


@pytest.fixture
def recursion_as_in_workers() -> Iterator[None]:
    """Libraries that only tests use let Python nest a hundred times deeper."""
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(1000)
    yield
    sys.setrecursionlimit(limit)


@pytest.mark.usefixtures("recursion_as_in_workers")
@pytest.mark.parametrize("pushed", NONSENSE.values(), ids=NONSENSE)
async def test_nonsense_that_is_pushed_is_polled_around(
    anvil: Anvil, world: AnvilWorld, pushed: bytes
) -> None:
    height = await world.height()
    async with (
        Socket(anvil.chain_id, pushed).running() as socket,
        tips_of(anvil, socket.url, poll_interval_s=0.05, silence_s=3600) as tips,
    ):
        await reach(tips, height)
        for step in range(1, 3):
            await world.mine()
            while (tip := await anext(tips)).height < height + step:
                pass
            assert tip.height == height + step


async def test_a_dropped_socket_is_opened_again(anvil: Anvil, world: AnvilWorld) -> None:
    height = await world.height()
    async with (
        Socket(anvil.chain_id).running() as socket,
        tips_of(anvil, socket.url, poll_interval_s=0.05, silence_s=0.1) as tips,
    ):
        await reach(tips, height)
        for step in range(1, 4):
            await socket.drop_all()
            await world.mine()
            await reach(tips, height + step)
        while socket.subscribers < 2:
            await world.mine()
            await anext(tips)


async def test_a_socket_that_cannot_be_opened_is_polled_around(
    anvil: Anvil, world: AnvilWorld
) -> None:
    height = await world.height()
    async with tips_of(anvil, "ws://127.0.0.1:1/key", poll_interval_s=0.05) as tips:
        await reach(tips, height)
        await world.mine()
        await reach(tips, height + 1)


async def test_a_socket_of_another_chain_is_refused(anvil: Anvil) -> None:
    async with (
        Socket(chain_id=1).running() as socket,
        tips_of(anvil, socket.url, poll_interval_s=0.05) as tips,
    ):
        with pytest.raises(WrongNetwork):
            await anext(tips)
