"""Payments on TON as the network's own executor runs them: costs, returns, refusals, expiry."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
from pytoniq_core import begin_cell

from chain_adapters.ton import pay
from chain_adapters.ton.adapter import TonAdapter
from chain_adapters.ton.constants import COMMIT_S, EXPIRY_S
from chain_adapters.types import (
    BroadcastOutcome,
    Holding,
    NodeUnavailable,
    Payment,
    PaymentRefused,
    UnsignedTransaction,
    WrongNetwork,
)
from devstack.chains.chain import NodeError
from devstack.chains.ton import TonNode
from tests.support.chain_worlds.ton import TonWorld, open_ton_world
from tests.support.ton_vectors import boc

TON = 10**9
THROWS = begin_cell().store_uint(0xFF00F22A, 32).end_cell()
"""SETCP0, THROW 42: a contract that refuses everything."""


@pytest.fixture
async def world(ton_node: TonNode) -> AsyncIterator[TonWorld]:
    opened = await open_ton_world(ton_node)
    await opened.chain.drive("hops", hops=100)
    yield opened
    await opened.close()


@pytest.fixture
async def sender(world: TonWorld) -> str:
    address = world.new_address()
    await world.fund(address, 1000 * TON)
    return address


@pytest.mark.parametrize("hops", [1, 100])
async def test_a_jetton_payment_is_explained_over_as_many_blocks_as_it_takes(
    world: TonWorld, sender: str, hops: int
) -> None:
    token, recipient = await world.issue_token(sender, 100), world.new_address()
    await world.chain.drive("hops", hops=hops)
    before, held = await world.height(), await world.balance(sender, None, 0)
    await world.send(Payment(sender, recipient, token, 60, "text:5"))
    await world.mine(6)
    changes = await world.explained({sender, recipient}, before)
    assert await world.balance(sender, None, 0) - held == changes[sender] < 0
    assert await world.balance(recipient, None, 0) == changes[recipient] == 1
    assert await world.transfers_to(sender, before) == []  # change is no deposit
    [arrival] = [t for t in await world.transfers_to(recipient, before) if t.contract]
    assert (arrival.amount_minor, arrival.sender, arrival.memo) == (60, sender, "text:5")


@pytest.mark.parametrize("hops", [1, 100])
async def test_a_payment_that_bounces_is_returned(world: TonWorld, sender: str, hops: int) -> None:
    recipient = await world.deploy(THROWS)
    await world.chain.drive("hops", hops=hops)
    before, held = await world.height(), await world.balance(sender, None, 0)
    signed = await world.send(Payment(sender, recipient, None, 5 * TON))
    await world.mine(6)
    found = {t.id: t for t in await world.transactions_since(before)}
    assert found[signed.transaction_id].succeeded
    [back] = [t for t in found.values() if t.returns is not None]
    assert (back.returns, back.payer, back.transfers) == (signed.transaction_id, sender, ())
    assert await world.transfers_to(recipient, before) == []
    lost = held - await world.balance(sender, None, 0)
    assert lost == (found[signed.transaction_id].fee_minor or 0) + (back.fee_minor or 0) > 0


async def test_jettons_that_the_own_wallet_refuses_are_returned(
    world: TonWorld, sender: str
) -> None:
    """They were spent in the meantime: all that was sent along comes back."""
    token, recipient = await world.issue_token(sender, 100), world.new_address()
    signed = await world.order(Payment(sender, recipient, token, 100))
    elsewhere = Payment(sender, world.new_address(), token, 50)
    await world.chain.drive(
        "pay",
        address=await world.jetton_wallet(token, sender),
        amount=str(TON),
        source=sender,
        body=boc(pay.jetton_transfer(elsewhere, 0)),
    )
    await world.mine()
    before, held = await world.height(), await world.balance(sender, None, 0)
    await world.adapter.broadcast(signed)
    await world.mine()
    [back] = [t for t in await world.transactions_since(before) if t.returns is not None]
    assert (back.returns, back.payer) == (signed.transaction_id, sender)
    changes = await world.explained({sender}, before)
    assert await world.balance(sender, None, 0) - held == changes[sender]
    assert await world.balance(sender, token, 0) == 50


@pytest.mark.parametrize("hops", [1, 100])
async def test_jettons_that_the_recipients_wallet_refuses_are_returned(
    world: TonWorld, sender: str, hops: int
) -> None:
    token, recipient = await world.issue_token(sender, 100), world.new_address()
    await world.deploy(THROWS, await world.jetton_wallet(token, recipient))
    await world.chain.drive("hops", hops=hops)
    before, held = await world.height(), await world.balance(sender, None, 0)
    signed = await world.send(Payment(sender, recipient, token, 60))
    await world.mine(6)
    [back] = [t for t in await world.transactions_since(before) if t.returns is not None]
    assert back.returns == signed.transaction_id
    changes = await world.explained({sender}, before)
    assert await world.balance(sender, None, 0) - held == changes[sender]
    assert await world.balance(sender, token, 0) == 100


async def test_what_the_wallet_cannot_pay_when_it_comes_to_it_failed(
    world: TonWorld, sender: str
) -> None:
    before, signed = await world.height(), await world.order_failure(sender)
    await world.adapter.broadcast(signed)
    await world.mine()
    [found] = await world.transactions_since(before)
    assert (found.id, found.succeeded, found.transfers) == (signed.transaction_id, False, ())
    quote = await world.adapter.quote(Payment(sender, world.new_address(), None, 1))
    assert quote.next_nonce == 1  # the sequence number is used up: it can never be paid later


async def test_an_expired_payment_is_refused_and_its_replacement_lands(
    world: TonWorld, sender: str
) -> None:
    recipient, before = world.new_address(), await world.height()
    payment = Payment(sender, recipient, None, TON)
    first = await world.build(payment)
    await world.chain.drive("shift-clock", seconds=EXPIRY_S + COMMIT_S + 1)
    answer = await world.adapter.broadcast(world.sign(first))
    assert (answer.outcome, "exitcode=36" in answer.detail) == (BroadcastOutcome.REFUSED, True)
    await world.mine()
    assert (await world.read(await world.height())).clock > (first.valid_until or 0)
    second = await world.build(payment, replaces=first)
    assert second.nonce == first.nonce
    await world.adapter.broadcast(world.sign(second))
    await world.mine()
    assert [t.amount_minor for t in await world.transfers_to(recipient, before)] == [TON]


async def test_a_forgotten_message_is_sent_again(world: TonWorld, sender: str) -> None:
    recipient, before = world.new_address(), await world.height()
    signed = await world.send(Payment(sender, recipient, None, TON))
    await world.chain.drive("drop-pool")
    await world.mine()
    assert await world.transfers_to(recipient, before) == []
    assert (await world.adapter.broadcast(signed)).outcome is BroadcastOutcome.ACCEPTED
    await world.mine()
    assert len(await world.transfers_to(recipient, before)) == 1
    assert (await world.adapter.broadcast(signed)).detail == "already in a block"


@pytest.mark.parametrize("status", [429, 502, 503])
async def test_a_server_that_fails_says_nothing_of_a_payment(
    world: TonWorld, sender: str, status: int
) -> None:
    signed = await world.order(Payment(sender, world.new_address(), None, TON))
    await world.chain.drive("break", path="/api/v3/message", status=status)
    with pytest.raises(NodeUnavailable):
        await world.adapter.broadcast(signed)
    await world.chain.drive("break", path="")


async def test_an_error_in_other_words_says_nothing_of_a_payment(
    world: TonWorld, sender: str
) -> None:
    signed = await world.order(Payment(sender, world.new_address(), None, TON))
    await world.chain.drive("break", path="/api/v3/message", status=500)
    with pytest.raises(NodeUnavailable, match="told to fail"):
        await world.adapter.broadcast(signed)
    await world.chain.drive("break", path="")


async def test_without_an_estimate_the_bound_is_a_fixed_one(world: TonWorld, sender: str) -> None:
    await world.chain.drive("break", path="/api/v3/estimateFee", status=500)
    quote = await world.adapter.quote(Payment(sender, world.new_address(), None, TON))
    await world.chain.drive("break", path="")
    assert quote.fee_minor_max == 25_000_000


@pytest.mark.parametrize(
    "path",
    ["transactionsByMasterchainBlock", "masterchainBlockShards", "masterchainBlockShardState"],
)
async def test_a_block_whose_parts_fail_is_not_read(world: TonWorld, path: str) -> None:
    await world.fund(world.new_address(), TON)
    await world.chain.drive("break", path=f"/api/v3/{path}", status=503)
    with pytest.raises(NodeUnavailable):
        await world.adapter.fetch_block(await world.height())
    await world.chain.drive("break", path="")


async def refusal_of(world: TonWorld, payment: Payment) -> str:
    with pytest.raises(PaymentRefused) as refused:
        await world.adapter.quote(payment)
    return refused.value.reason


async def test_amounts_that_do_not_fit_are_refused(world: TonWorld, sender: str) -> None:
    amounts = [0, -1, 2**120, 2**300]
    reasons = [
        await refusal_of(world, Payment(sender, world.new_address(), None, a)) for a in amounts
    ]
    assert reasons == ["amount_too_small"] * 2 + ["amount_too_large"] * 2


@pytest.mark.parametrize("pays_jettons", [False, True])
async def test_a_jetton_wallet_or_master_is_no_recipient(
    world: TonWorld, sender: str, *, pays_jettons: bool
) -> None:
    """Both take a payment without a comment, and give nothing back."""
    token = await world.issue_token(sender, 100)
    paid = token if pays_jettons else None
    for recipient in (await world.jetton_wallet(token, sender), token):
        reason = await refusal_of(world, Payment(sender, recipient, paid, 1))
        assert reason == "recipient_is_jetton"


async def test_other_contracts_are_paid(world: TonWorld, sender: str) -> None:
    payment = Payment(sender, await world.deploy(THROWS), None, TON)
    assert (await world.adapter.quote(payment)).fee_minor_max > 0


async def test_jettons_without_money_for_the_way_are_refused(world: TonWorld, sender: str) -> None:
    token, holder = await world.issue_token(sender, 100), world.new_address()
    await world.chain.pay_token(token, holder, 5)
    await world.mine()
    payment = Payment(holder, sender, token, 5)
    assert await refusal_of(world, payment) == "sender_lacks_funds"
    await world.fund(holder, TON // 20)
    assert await refusal_of(world, payment) == "sender_lacks_funds"


async def test_a_fee_above_the_cap_is_refused(world: TonWorld, sender: str) -> None:
    token = await world.issue_token(sender, 100)
    world._changes["fee_minor_max"] = 20_000_000
    world.open_adapter(token)
    recipient = world.new_address()
    assert (
        await world.adapter.quote(Payment(sender, recipient, None, 1))
    ).fee_minor_max < 2 * 10**7
    assert await refusal_of(world, Payment(sender, recipient, token, 1)) == "fee_above_cap"


async def test_a_deployed_wallet_tells_its_key_itself(world: TonWorld, sender: str) -> None:
    payment = Payment(sender, world.new_address(), None, TON)
    stranger = TonAdapter("ton:sandbox", [world._node.rpc_url])
    try:
        with pytest.raises(PaymentRefused) as refused:
            await stranger.quote(payment)
        assert refused.value.reason == "sender_unknown"
        await world.send(payment)
        await world.mine()
        quote = await stranger.quote(payment)
        assert quote == await world.adapter.quote(payment)
        unsigned = stranger.build(payment, quote, quote.next_nonce)
        assert isinstance(unsigned, UnsignedTransaction)
        assert stranger.assemble(unsigned, world.signatures(sender, unsigned))
    finally:
        await stranger.close()


async def test_balances_of_many_are_told_in_order(world: TonWorld, sender: str) -> None:
    token = await world.issue_token(sender, 100)
    others = [world.new_address() for _ in range(120)]
    holdings = [Holding(a, c) for a in (*others, sender) for c in (token, None)]
    held = await world.adapter.fetch_balances(holdings, 0)
    assert held[:-2] == [0] * 240
    assert held[-2] == 100
    assert held[-1] > 999 * TON


async def test_nodes_of_another_network_are_refused(world: TonWorld) -> None:
    other = TonAdapter("ton:mainnet", [world._node.rpc_url])
    with pytest.raises(WrongNetwork, match="-777"):
        await other.fetch_block(0)
    await other.close()


async def test_the_chain_comes_back_after_a_kill(tmp_path: Path) -> None:
    node = TonNode(tmp_path / "node")
    node.start()
    world = await open_ton_world(node)
    sender, recipient = world.new_address(), world.new_address()
    await world.fund(sender, 100 * TON)
    token = await world.issue_token(sender, 100)
    await world.chain.pay(recipient, TON)
    await world.send(Payment(sender, recipient, token, 60))
    await world.mine()
    height = await world.height()
    block, held = await world.read(height), await world.balance(sender, None, height)
    node.kill()
    node.start()
    assert await world.read(height) == block
    assert await world.balance(sender, None, height) == held
    assert await world.balance(recipient, token, height) == 60
    await world.send(Payment(sender, recipient, token, 40))
    await world.mine()
    assert await world.balance(recipient, token, height) == 100
    await world.close()
    node.stop()


async def test_what_the_masterchain_committed_is_never_undone(world: TonWorld) -> None:
    with pytest.raises(NodeError, match="no reorganisations"):
        await world.reorganise(1)


async def test_quotes_survive_being_stored(world: TonWorld, sender: str) -> None:
    quote = await world.adapter.quote(Payment(sender, world.new_address(), None, TON))
    stored = msgspec.json.encode(quote)
    assert msgspec.json.decode(stored, type=type(quote)) == quote
    assert base64.b64decode(msgspec.json.decode(stored)["parameters"]) == quote.parameters
