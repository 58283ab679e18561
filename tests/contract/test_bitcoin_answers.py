"""What nodes of Bitcoin's kind answer, tell by themselves and refuse, and what is made of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import NamedTuple

import msgspec
import pytest
import zmq
import zmq.asyncio

from chain_adapters.bitcoin.chains import REGTEST
from chain_adapters.types import (
    BroadcastOutcome,
    NodeUnavailable,
    Payment,
    SignedTransaction,
)
from chain_adapters.utxo.adapter import UtxoAdapter
from chain_adapters.utxo.pay import Bid
from devstack.chains.bitcoin import BitcoinNode, CoreNode
from devstack.process import free_port
from tests.support.chain_worlds.bitcoin import CoreWorld, open_core_world
from tests.support.core_gateway import Answer, Call, Gateway, Reply, fault, result

ONE = 10**8
LATE_S = 600.0
"""So long would be waited for a block that is not pushed."""


@pytest.fixture
async def world(bitcoin_node: BitcoinNode) -> AsyncIterator[CoreWorld]:
    opened = await open_core_world(bitcoin_node)
    yield opened
    await opened.close()


@pytest.fixture
async def sender(world: CoreWorld) -> str:
    address = world.new_address()
    await world.fund(address, 5 * ONE)
    return address


def open_adapter(url: str, **changes: object) -> UtxoAdapter:
    settings = {"native_symbol": "BTC", "poll_interval_s": 0.02, **changes}
    return UtxoAdapter((REGTEST,), REGTEST.network, [url], **settings)  # type: ignore[arg-type]


async def outcome_of(adapter: UtxoAdapter, signed: SignedTransaction) -> BroadcastOutcome:
    return (await adapter.broadcast(signed)).outcome


def estimating(answer: Answer, old: Answer | None = None) -> Reply:
    answers = {"estimatesmartfee": answer, "estimatefee": old}
    return lambda call: answers.get(call["method"])


@pytest.mark.parametrize(
    ("reply", "rate"),
    [
        (estimating(result({"feerate": 0.00025, "blocks": 3})), 25_000),
        (estimating(result({"feerate": 1e-05, "blocks": 3})), 1_000),
        (estimating(result({"feerate": 1e-08, "blocks": 3})), 1_000),
        (estimating(result({"errors": ["Insufficient data"], "blocks": 0})), 1_000),
        (estimating(result({"feerate": -1, "blocks": 3})), 1_000),
        (estimating(fault(-32601, "Method not found"), result(0.0005)), 50_000),
        (estimating(fault(-32601, "Method not found"), result(-1)), 1_000),
        (estimating(fault(-32601, "Method not found"), fault(-32601, "Method not found")), 1_000),
    ],
)
async def test_fees_follow_the_nodes_estimate_down_to_the_least(
    world: CoreWorld, bitcoin_node: CoreNode, sender: str, reply: Reply, rate: int
) -> None:
    async with Gateway(bitcoin_node.rpc_url, reply).running() as gateway:
        adapter = open_adapter(gateway.url)
        payment = Payment(sender, sender, None, ONE)
        quote = await adapter.quote(payment)
        unsigned = adapter.build(payment, quote, None, coins=await world.coins(sender))
        await adapter.close()
    assert unsigned.fee_minor_max == -(-rate * 141 // 1000)


@pytest.mark.parametrize("feerate", ["NaN", "Infinity", "-Infinity", -2, "1e400", 10**100])
async def test_a_fee_estimate_that_is_no_number_is_no_answer(
    bitcoin_node: CoreNode, sender: str, feerate: object
) -> None:
    async with Gateway(
        bitcoin_node.rpc_url, estimating(result({"feerate": feerate}))
    ).running() as gateway:
        adapter = open_adapter(gateway.url)
        with pytest.raises(NodeUnavailable):
            await adapter.quote(Payment(sender, sender, None, ONE))
        await adapter.close()


async def test_a_fee_estimate_above_all_measure_is_refused(
    bitcoin_node: CoreNode, sender: str
) -> None:
    reply = estimating(result({"feerate": 5.0, "blocks": 3}))
    async with Gateway(bitcoin_node.rpc_url, reply).running() as gateway:
        adapter = open_adapter(gateway.url)
        with pytest.raises(Exception, match="the fee would be") as refused:
            await adapter.quote(Payment(sender, sender, None, ONE))
        await adapter.close()
    assert getattr(refused.value, "reason", "") == "fee_above_cap"


@pytest.mark.parametrize(
    "answer",
    [
        fault(-28, "Loading block index..."),
        fault(-1, "Block not available (pruned data)"),
        fault(-5, "Block not found"),
        result(None),
        result("00"),
        result({"hash": "0" * 64}),
    ],
)
async def test_a_node_that_has_no_good_answer_is_unavailable(
    bitcoin_node: CoreNode, answer: Answer
) -> None:
    def reply(call: Call) -> Answer | None:
        return answer if call["method"] == "getblock" else None

    async with Gateway(bitcoin_node.rpc_url, reply).running() as gateway:
        adapter = open_adapter(gateway.url)
        with pytest.raises(NodeUnavailable):
            await adapter.fetch_block(1)
        await adapter.close()


async def test_another_block_than_asked_for_is_not_taken(
    world: CoreWorld, bitcoin_node: CoreNode
) -> None:
    other = await world.chain.call("getblockhash", 7)

    def reply(call: Call) -> Answer | None:
        if call["method"] == "getblock":
            call["params"][0] = other
        return None

    async with Gateway(bitcoin_node.rpc_url, reply).running() as gateway:
        adapter = open_adapter(gateway.url)
        with pytest.raises(NodeUnavailable, match="another block"):
            await adapter.fetch_block(8)
        await adapter.close()


BTCD_FAULTS = {
    "getblockhash": fault(-1, "Block number out of range"),
    "getnetworkinfo": fault(-1, "Command unimplemented"),
    "estimatesmartfee": fault(-32601, "Method not found"),
    "estimatefee": fault(-32603, "not enough blocks have been observed"),
}


async def test_btcds_words_for_what_it_has_not_are_understood(
    world: CoreWorld, bitcoin_node: CoreNode, sender: str
) -> None:
    height = await world.height()

    def reply(call: Call) -> Answer | None:
        if call["method"] == "getblockhash" and call["params"][0] <= height:
            return None
        return BTCD_FAULTS.get(call["method"])

    async with Gateway(bitcoin_node.rpc_url, reply).running() as gateway:
        adapter = open_adapter(gateway.url)
        assert await adapter.fetch_block(height + 1) is None
        quote = await adapter.quote(Payment(sender, sender, None, ONE))
        rate = msgspec.json.decode(quote.parameters, type=Bid).rate
        assert rate == REGTEST.fee_rate_min
        await adapter.close()


class Refusal(NamedTuple):
    """What btcd says to a payment whose coin another one spends, which is `mined` or unheard of."""

    name: str
    code: int
    words: str
    mined: bool
    outcome: BroadcastOutcome


_ORPHAN = "orphan transaction {id} references outputs of unknown or fully-spent transaction"
REFUSALS = [
    Refusal("in the pool", -26, "already have transaction {id}", False, BroadcastOutcome.ACCEPTED),
    Refusal(
        "in a block",
        -27,
        "transaction already exists in blockchain",
        False,
        BroadcastOutcome.ACCEPTED,
    ),
    Refusal("coin used", -25, _ORPHAN, True, BroadcastOutcome.NONCE_USED),
    Refusal("coin unknown", -25, _ORPHAN, False, BroadcastOutcome.REFUSED),
    Refusal(
        "too little fee",
        -26,
        "{id}: replacement transaction has an insufficient fee rate",
        False,
        BroadcastOutcome.REFUSED,
    ),
]


@pytest.mark.parametrize("said", REFUSALS, ids=lambda said: said.name)
async def test_btcds_refusals_are_understood(
    world: CoreWorld, bitcoin_node: CoreNode, sender: str, said: Refusal
) -> None:
    first, second = [
        await world.order(Payment(sender, world.new_address(), None, ONE)) for _ in range(2)
    ]
    if said.mined:
        await world.adapter.broadcast(first)
        await world.mine()

    def reply(call: Call) -> Answer | None:
        if call["method"] == "sendrawtransaction":
            words = said.words.format(id=second.transaction_id)
            return fault(said.code, f"TX rejected: {words}")
        return None

    async with Gateway(bitcoin_node.rpc_url, reply).running() as gateway:
        adapter = open_adapter(gateway.url)
        assert await outcome_of(adapter, second) is said.outcome
        await adapter.close()


async def test_a_pushed_block_is_told_long_before_the_next_poll(
    world: CoreWorld, bitcoin_node: CoreNode
) -> None:
    context = zmq.asyncio.Context()
    publisher = context.socket(zmq.PUB)
    port = publisher.bind_to_random_port("tcp://127.0.0.1")
    adapter = open_adapter(
        bitcoin_node.rpc_url, push_url=f"tcp://127.0.0.1:{port}", poll_interval_s=LATE_S
    )

    async def publish() -> None:
        while True:  # as long as nobody listens yet, messages are lost
            await publisher.send_multipart([b"hashblock", bytes(32), bytes(4)])
            await asyncio.sleep(0.02)

    async with aclosing(adapter.watch_tip()) as tips:
        height = (await anext(tips)).height
        publishing = asyncio.create_task(publish())
        for step in range(1, 4):
            await world.mine()
            async with asyncio.timeout(LATE_S / 10):
                assert (await anext(tips)).height == height + step
        publishing.cancel()
    await adapter.close()
    context.destroy(linger=0)


async def test_where_nobody_pushes_the_tip_is_polled(
    world: CoreWorld, bitcoin_node: CoreNode
) -> None:
    adapter = open_adapter(
        bitcoin_node.rpc_url, push_url=f"tcp://127.0.0.1:{free_port()}", silence_s=LATE_S
    )
    async with aclosing(adapter.watch_tip()) as tips:
        height = (await anext(tips)).height
        for step in range(1, 3):
            await world.mine()
            async with asyncio.timeout(LATE_S / 10):
                assert (await anext(tips)).height == height + step
    await adapter.close()
