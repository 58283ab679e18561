"""The promises of chain_adapters/adapter.py, held against every adapter."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import aclosing
from itertools import pairwise

import pytest

from chain_adapters.types import (
    Block,
    BroadcastOutcome,
    Payment,
    PaymentRefused,
    Transaction,
    Transfer,
)
from tests.support.chain_worlds import SimulatedWorld, World, open_anvil_world

FUNDS_MINOR = 10**18


@pytest.fixture(params=["simulated", "ethereum"])
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    opened: World
    if request.param == "simulated":
        opened = SimulatedWorld()
    else:
        opened = await open_anvil_world(request.getfixturevalue("anvil"))
    yield opened
    await opened.close()


@pytest.fixture
async def sender(world: World) -> str:
    address = world.new_address()
    await world.fund(address, FUNDS_MINOR)
    return address


def pay(sender: str, recipient: str, amount_minor: int = 5, contract: str | None = None) -> Payment:
    return Payment(sender, recipient, contract, amount_minor)


async def read(world: World, height: int) -> Block:
    block = await world.adapter.fetch_block(height)
    assert block is not None
    return block


async def find(world: World, transaction_id: str) -> Transaction | None:
    """Look for a transaction in the newest block."""
    block = await read(world, await world.height())
    return next((t for t in block.transactions if t.id == transaction_id), None)


async def send(world: World, payment: Payment) -> Transaction:
    """Make a payment and mine it."""
    signed = await world.order(payment)
    assert (await world.adapter.broadcast(signed)).outcome is BroadcastOutcome.ACCEPTED
    await world.mine()
    mined = await find(world, signed.transaction_id)
    assert mined is not None
    return mined


async def test_every_block_names_the_one_before_it(world: World) -> None:
    await world.mine(4)
    height = await world.height()
    blocks = [await read(world, h) for h in range(height - 3, height + 1)]
    assert [block.height for block in blocks] == list(range(height - 3, height + 1))
    for parent, child in pairwise(blocks):
        assert child.parent_id == parent.block_id
        assert child.time >= parent.time


async def test_a_block_that_is_not_there_yet_is_none(world: World) -> None:
    height = await world.height()
    assert await world.adapter.fetch_block(height) is not None
    assert await world.adapter.fetch_block(height + 1) is None
    assert await world.adapter.fetch_block(height + 1000) is None


async def test_a_native_payment_is_one_transfer(world: World, sender: str) -> None:
    recipient = world.new_address()
    mined = await send(world, pay(sender, recipient))
    assert mined.succeeded
    assert mined.payer == sender
    assert mined.transfers == (Transfer("value", sender, recipient, None, 5),)


async def test_a_token_payment_is_one_transfer_of_its_contract(world: World, sender: str) -> None:
    token, recipient = await world.issue_token(sender, 100), world.new_address()
    mined = await send(world, pay(sender, recipient, 60, token))
    assert mined.transfers == (Transfer("log:0", sender, recipient, token, 60),)
    height = await world.height()
    assert await world.adapter.fetch_balance(recipient, token, height) == 60
    assert await world.adapter.fetch_balance(sender, token, height) == 40
    assert await world.adapter.fetch_balance(sender, token, height - 1) == 100


async def test_transfers_and_fees_explain_every_change_of_balance(
    world: World, sender: str
) -> None:
    token, recipient = await world.issue_token(sender, 100), world.new_address()
    before = await world.height()
    await send(world, pay(sender, recipient, 7))
    await send(world, pay(sender, recipient, 11, token))
    await send(world, pay(sender, sender, 13))
    after = await world.height()
    explained: defaultdict[tuple[str, str | None], int] = defaultdict(int)
    for height in range(before + 1, after + 1):
        for transaction in (await read(world, height)).transactions:
            explained[transaction.payer or "", None] -= transaction.fee_minor
            for t in transaction.transfers:
                explained[t.sender or "", t.contract] -= t.amount_minor
                explained[t.address, t.contract] += t.amount_minor
    assert set(explained) == {(a, c) for a in (sender, recipient) for c in (None, token)}
    for (address, contract), change_minor in explained.items():
        old = await world.adapter.fetch_balance(address, contract, before)
        new = await world.adapter.fetch_balance(address, contract, after)
        assert new - old == change_minor


async def test_a_failed_transaction_moves_nothing_but_its_fee(world: World, sender: str) -> None:
    recipient = await world.make_reverting()
    await world.stop_reverting(recipient)
    signed = await world.order(pay(sender, recipient))
    await world.adapter.broadcast(signed)
    await world.stop_reverting(recipient, again=True)
    await world.mine()
    mined = await find(world, signed.transaction_id)
    assert mined is not None
    assert (mined.succeeded, mined.transfers) == (False, ())
    height = await world.height()
    assert await world.adapter.fetch_balance(recipient, None, height) == 0
    held = await world.adapter.fetch_balance(sender, None, height)
    assert held == FUNDS_MINOR - mined.fee_minor < FUNDS_MINOR


async def test_a_second_broadcast_is_harmless(world: World, sender: str) -> None:
    recipient = world.new_address()
    signed = await world.order(pay(sender, recipient))
    outcomes = [(await world.adapter.broadcast(signed)).outcome for _ in range(2)]
    await world.mine()
    outcomes += [(await world.adapter.broadcast(signed)).outcome for _ in range(2)]
    await world.mine()
    assert outcomes == [BroadcastOutcome.ACCEPTED] * 4
    assert await world.adapter.fetch_balance(recipient, None, await world.height()) == 5


async def test_a_nonce_used_by_another_transaction_is_told(world: World, sender: str) -> None:
    quote = await world.adapter.quote(pay(sender, world.new_address()))
    first, second = (
        world.sign(world.adapter.build(pay(sender, world.new_address()), quote, quote.next_nonce))
        for _ in range(2)
    )
    await world.adapter.broadcast(first)
    await world.mine()
    assert (await world.adapter.broadcast(second)).outcome is BroadcastOutcome.NONCE_USED


async def test_a_replacement_lands_under_the_same_nonce(world: World, sender: str) -> None:
    payment = pay(sender, world.new_address())
    quote = await world.adapter.quote(payment)
    versions = [world.adapter.build(payment, quote, quote.next_nonce)]
    for _ in range(3):
        versions.append(
            world.adapter.build(payment, quote, quote.next_nonce, replaces=versions[-1])
        )
    signed = [world.sign(version) for version in versions]
    for transaction in signed:
        answer = await world.adapter.broadcast(transaction)
        assert answer.outcome is BroadcastOutcome.ACCEPTED, answer.detail
    await world.mine()
    assert await find(world, signed[-1].transaction_id) is not None
    assert (await world.adapter.broadcast(signed[0])).outcome is BroadcastOutcome.NONCE_USED
    assert (await world.adapter.quote(payment)).next_nonce == (quote.next_nonce or 0) + 1


async def test_a_rival_that_bids_no_more_is_refused(world: World, sender: str) -> None:
    payment = pay(sender, world.new_address())
    quote = await world.adapter.quote(payment)
    rival = world.adapter.build(pay(sender, world.new_address()), quote, quote.next_nonce)
    await world.adapter.broadcast(world.sign(world.adapter.build(payment, quote, quote.next_nonce)))
    answer = await world.adapter.broadcast(world.sign(rival))
    assert answer.outcome is BroadcastOutcome.REFUSED
    assert answer.detail


async def test_what_a_transaction_costs_is_within_its_quote(world: World, sender: str) -> None:
    payment = pay(sender, world.new_address())
    quote = await world.adapter.quote(payment)
    unsigned = world.adapter.build(payment, quote, quote.next_nonce)
    assert unsigned == world.adapter.build(payment, quote, quote.next_nonce)
    assert unsigned.fee_minor_max == quote.fee_minor_max
    assert 0 < (await send(world, payment)).fee_minor <= quote.fee_minor_max


async def test_nonces_are_counted_per_sender_and_mined_in_order(world: World, sender: str) -> None:
    recipient = world.new_address()
    quote = await world.adapter.quote(pay(sender, recipient))
    assert quote.next_nonce == 0
    for nonce in (2, 0, 1):
        unsigned = world.adapter.build(pay(sender, recipient, nonce + 1), quote, nonce)
        answer = await world.adapter.broadcast(world.sign(unsigned))
        assert answer.outcome is BroadcastOutcome.ACCEPTED
    await world.mine(3)
    assert await world.adapter.fetch_balance(recipient, None, await world.height()) == 6
    assert (await world.adapter.quote(pay(sender, recipient))).next_nonce == 3


async def refusal_of(world: World, payment: Payment) -> str:
    with pytest.raises(PaymentRefused) as refused:
        await world.adapter.quote(payment)
    assert str(refused.value)
    return refused.value.reason


async def test_payments_that_cannot_succeed_are_refused_with_a_reason(
    world: World, sender: str
) -> None:
    poor, recipient = world.new_address(), world.new_address()
    token, reverting = await world.issue_token(sender, 100), await world.make_reverting()
    refused = [
        await refusal_of(world, pay(poor, recipient)),
        await refusal_of(world, pay(sender, recipient, FUNDS_MINOR)),
        await refusal_of(world, pay(sender, recipient, 101, token)),
        await refusal_of(world, pay(sender, reverting)),
    ]
    assert refused == ["sender_lacks_funds"] * 3 + ["recipient_reverts"]


async def test_money_without_fee_money_is_not_enough(world: World, sender: str) -> None:
    holder = world.new_address()
    token = await world.issue_token(holder, 100)
    assert await refusal_of(world, pay(holder, sender, 5, token)) == "sender_lacks_funds"


async def test_a_reorganisation_changes_the_blocks_above_the_fork(
    world: World, sender: str
) -> None:
    recipient = world.new_address()
    fork = await world.height()
    mined = await send(world, pay(sender, recipient))
    await world.mine(2)
    old = [await read(world, height) for height in range(fork, fork + 4)]
    await world.reorganise(3)
    new = [await read(world, height) for height in range(fork, fork + 4)]
    assert new[0] == old[0]
    for before, after, parent in zip(old[1:], new[1:], new, strict=False):
        assert after.block_id != before.block_id
        assert after.parent_id == parent.block_id
        assert mined.id not in {transaction.id for transaction in after.transactions}
    assert await world.adapter.fetch_balance(recipient, None, fork + 3) == 0


async def test_a_transaction_mined_again_keeps_its_identity(world: World, sender: str) -> None:
    signed = await world.order(pay(sender, world.new_address()))
    await world.adapter.broadcast(signed)
    await world.mine()
    first = await find(world, signed.transaction_id)
    await world.reorganise(1)
    assert await find(world, signed.transaction_id) is None
    await world.mine()
    assert (await world.adapter.broadcast(signed)).outcome is BroadcastOutcome.ACCEPTED
    await world.mine()
    again = await find(world, signed.transaction_id)
    assert again is not None
    assert again.transfers == (first.transfers if first else None)


async def test_the_tip_is_told_at_once_and_after_each_change(world: World) -> None:
    height = await world.height()
    async with aclosing(world.adapter.watch_tip()) as tips:
        assert (await anext(tips)).height == height
        for _ in range(3):
            await world.mine()
            height += 1
            tip = await anext(tips)
            while tip.height < height:  # the same one again, with another finalized height
                tip = await anext(tips)
            assert (tip.height, tip.block_id) == (height, (await read(world, height)).block_id)
        await world.reorganise(2)
        new = await read(world, height)
        while tip.block_id != new.block_id:
            tip = await anext(tips)
        assert tip.height == height


async def test_safe_and_finalized_are_below_the_tip(world: World) -> None:
    await world.mine(40)
    async with aclosing(world.adapter.watch_tip()) as tips:
        tip = await anext(tips)
    assert tip.safe_height is not None
    assert tip.finalized_height is not None
    assert 0 < tip.finalized_height < tip.safe_height < tip.height


async def test_addresses_are_canonical_everywhere(world: World, sender: str) -> None:
    token, recipient = await world.issue_token(sender, 100), world.new_address()
    native = await send(world, pay(sender, recipient))
    tokens = await send(world, pay(sender, recipient, 5, token))
    for address in (sender, recipient, token):
        shown = world.adapter.show_address(address)
        assert world.adapter.parse_address(shown) == address
        assert world.adapter.parse_address(address) == address
    parties = {t.address for t in native.transfers + tokens.transfers} | {native.payer}
    assert parties == {recipient, sender}
    assert tokens.transfers[0].contract == token


async def test_a_signature_of_someone_else_is_refused(world: World, sender: str) -> None:
    quote = await world.adapter.quote(pay(sender, world.new_address()))
    ours = world.adapter.build(pay(sender, sender), quote, quote.next_nonce)
    theirs = world.adapter.build(pay(world.new_address(), sender), quote, quote.next_nonce)
    with pytest.raises(ValueError, match="signature"):
        world.adapter.assemble(ours, (world.sign(theirs).raw[-65:],))
