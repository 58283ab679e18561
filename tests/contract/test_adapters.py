"""The promises of chain_adapters/adapter.py, held against every adapter."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from itertools import pairwise
from typing import get_args

import msgspec
import pytest

from chain_adapters.types import (
    Block,
    BroadcastOutcome,
    Holding,
    InvalidMemo,
    Payment,
    PaymentRefused,
    SignedTransaction,
    Transaction,
    Transfer,
)
from settings.model import Kind
from tests.support.chain_worlds import CHAINS, Chain, World


def chains(which: Callable[[Chain], bool] = lambda _: True) -> pytest.MarkDecorator:
    """Run a test on every chain whose rules are so."""
    kinds = [kind for kind, chain in CHAINS.items() if which(chain)]
    return pytest.mark.parametrize("world", kinds, indirect=True)


@pytest.fixture
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    opened = await CHAINS[request.param].open(request)
    yield opened
    await opened.close()


@pytest.fixture
async def sender(world: World) -> str:
    address = world.new_address()
    await world.fund(address, world.funds_minor)
    return address


def pay(sender: str, recipient: str, amount_minor: int, contract: str | None = None) -> Payment:
    return Payment(sender, recipient, contract, amount_minor)


async def read(world: World, height: int) -> Block:
    block = await world.adapter.fetch_block(height)
    assert block is not None
    return block


async def read_from(world: World, height: int) -> list[Block]:
    return [await read(world, h) for h in range(height, await world.height() + 1)]


async def find(world: World, transaction_id: str, since: int) -> Transaction | None:
    """Look for a transaction in the blocks from a height on."""
    found = [t for b in await read_from(world, since) for t in b.transactions]
    return next((t for t in found if t.id == transaction_id), None)


async def arrived(world: World, address: str, since: int) -> list[Transfer]:
    """Return what came to an address in the blocks from a height on."""
    return [
        transfer
        for block in await read_from(world, since)
        for transaction in block.transactions
        for transfer in transaction.transfers
        if transfer.address == address
    ]


async def accept(world: World, signed: SignedTransaction) -> None:
    answer = await world.adapter.broadcast(signed)
    assert answer.outcome is BroadcastOutcome.ACCEPTED, answer.detail


async def send(world: World, payment: Payment) -> Transaction:
    """Make a payment and mine it."""
    since = await world.height() + 1
    signed = await world.order(payment)
    await accept(world, signed)
    await world.mine()
    mined = await find(world, signed.transaction_id, since)
    assert mined is not None
    return mined


def test_every_adapter_is_held_to_the_contract() -> None:
    assert set(CHAINS) == set(get_args(Kind))


@chains()
async def test_every_block_names_the_one_before_it(world: World) -> None:
    await world.mine(4)
    height = await world.height()
    blocks = [await read(world, h) for h in range(height - 3, height + 1)]
    assert [block.height for block in blocks] == list(range(height - 3, height + 1))
    for parent, child in pairwise(blocks):
        assert child.parent_id == parent.block_id
        assert child.time >= parent.time
        assert child.clock >= parent.clock


@chains()
async def test_a_block_that_is_not_there_yet_is_none(world: World) -> None:
    height = await world.height()
    assert await world.adapter.fetch_block(height) is not None
    assert await world.adapter.fetch_block(height + 1) is None
    assert await world.adapter.fetch_block(height + 1000) is None


@chains()
async def test_a_native_payment_is_one_transfer(world: World, sender: str) -> None:
    recipient, since = world.new_address(), await world.height() + 1
    mined = await send(world, pay(sender, recipient, world.some_minor))
    assert mined.succeeded
    assert mined.payer in {sender, None}
    [transfer] = await arrived(world, recipient, since)
    assert (transfer.contract, transfer.amount_minor) == (None, world.some_minor)
    assert transfer.sender in {sender, None}


@chains(lambda chain: chain.tokens)
async def test_a_token_payment_is_one_transfer_of_its_contract(world: World, sender: str) -> None:
    token = await world.issue_token(sender, 100)
    recipient, since = await world.new_holder(token), await world.height() + 1
    await send(world, pay(sender, recipient, 60, token))
    [transfer] = [t for t in await arrived(world, recipient, since) if t.contract is not None]
    assert (transfer.sender, transfer.contract, transfer.amount_minor) == (sender, token, 60)
    height = await world.height()
    assert await world.balance(recipient, token, height) == 60
    assert await world.balance(sender, token, height) == 40


@chains(lambda chain: chain.keeps_states)
async def test_balances_of_older_blocks_are_told(world: World, sender: str) -> None:
    recipient, before = world.new_address(), await world.height()
    await send(world, pay(sender, recipient, world.some_minor))
    assert await world.balance(recipient, None, before) == 0
    assert await world.balance(recipient, None, await world.height()) == world.some_minor


@chains()
async def test_balances_come_in_the_order_they_were_asked_for(world: World, sender: str) -> None:
    recipient = world.new_address()
    await send(world, pay(sender, recipient, world.some_minor))
    height = await world.height()
    asked = [Holding(recipient), Holding(sender), Holding(recipient)]
    first, held, last = await world.adapter.fetch_balances(asked, height)
    assert first == last == world.some_minor
    assert held == await world.balance(sender, None, height)
    assert await world.adapter.fetch_balances([], height) == []


@chains()
async def test_transfers_and_fees_explain_every_change_of_balance(
    world: World, sender: str
) -> None:
    token = await world.issue_token(sender, 100) if world.has_tokens else None
    recipient = await world.new_holder(token)
    before = await world.height()
    held = {
        holding: await world.balance(*holding, before)
        for holding in [(a, c) for a in (sender, recipient) for c in {None, token}]
    }
    await send(world, pay(sender, recipient, world.some_minor + 2))
    if token is not None:
        await send(world, pay(sender, recipient, 11, token))
    await send(world, pay(sender, recipient, world.some_minor))
    explained: defaultdict[tuple[str, str | None], int] = defaultdict(int)
    for block in await read_from(world, before + 1):
        for transaction in block.transactions:
            # Where a node does not tell who paid, here it can only have been the sender.
            explained[transaction.payer or sender, None] -= world.fee_of(transaction)
            for t in transaction.transfers:
                if t.depth_min == 1:  # what is mined comes from nobody
                    explained[t.sender or sender, t.contract] -= t.amount_minor
                explained[t.address, t.contract] += t.amount_minor
    after = await world.height()
    for holding, old_minor in held.items():
        assert await world.balance(*holding, after) - old_minor == explained[holding], holding


@chains(lambda chain: chain.fails)
async def test_a_failed_transaction_moves_nothing_but_its_fee(world: World, sender: str) -> None:
    signed = await world.order_failure(sender)
    held = await world.balance(sender, None, await world.height())
    since = await world.height() + 1
    await accept(world, signed)
    await world.mine()
    mined = await find(world, signed.transaction_id, since)
    assert mined is not None
    assert (mined.succeeded, mined.transfers) == (False, ())
    after = await world.balance(sender, None, await world.height())
    assert after == held - world.fee_of(mined)


@chains()
async def test_a_second_broadcast_is_harmless(world: World, sender: str) -> None:
    recipient = world.new_address()
    signed = await world.order(pay(sender, recipient, world.some_minor))
    for _ in range(2):
        await accept(world, signed)
    await world.mine()
    for _ in range(2):
        await accept(world, signed)
    await world.mine()
    assert await world.balance(recipient, None, await world.height()) == world.some_minor


@chains()
async def test_two_equal_payments_are_two_transactions(world: World, sender: str) -> None:
    recipient = world.new_address()
    ids = {(await send(world, pay(sender, recipient, world.some_minor))).id for _ in range(3)}
    assert len(ids) == 3
    assert await world.balance(recipient, None, await world.height()) == 3 * world.some_minor


@chains(lambda chain: chain.slot != "none")
async def test_a_slot_used_by_another_transaction_is_told(world: World, sender: str) -> None:
    payments = [pay(sender, world.new_address(), world.some_minor) for _ in range(2)]
    quote = await world.adapter.quote(payments[0])
    first, second = [world.sign(await world.build(payment, quote)) for payment in payments]
    await accept(world, first)
    await world.mine()
    assert (await world.adapter.broadcast(second)).outcome is BroadcastOutcome.NONCE_USED


@chains(lambda chain: chain.slot != "none" and chain.outbids)
async def test_a_replacement_lands_in_the_same_slot(world: World, sender: str) -> None:
    payment, since = pay(sender, world.new_address(), world.some_minor), await world.height() + 1
    quote = await world.adapter.quote(payment)
    versions = [await world.build(payment, quote)]
    for _ in range(3):
        versions.append(await world.build(payment, quote, replaces=versions[-1]))
    for version in versions:
        assert set(version.coins) >= set(versions[0].coins)
    signed = [world.sign(version) for version in versions]
    for transaction in signed:
        await accept(world, transaction)
    await world.mine()
    assert await find(world, signed[-1].transaction_id, since) is not None
    assert (await world.adapter.broadcast(signed[0])).outcome is BroadcastOutcome.NONCE_USED
    if quote.next_nonce is not None:
        assert (await world.adapter.quote(payment)).next_nonce == quote.next_nonce + 1


@chains(lambda chain: chain.slot != "none" and chain.outbids)
async def test_a_rival_that_bids_no_more_is_refused(world: World, sender: str) -> None:
    payments = [pay(sender, world.new_address(), world.some_minor) for _ in range(2)]
    quote = await world.adapter.quote(payments[0])
    first, rival = [world.sign(await world.build(payment, quote)) for payment in payments]
    await accept(world, first)
    answer = await world.adapter.broadcast(rival)
    assert answer.outcome is BroadcastOutcome.REFUSED
    assert answer.detail


@chains()
async def test_what_a_transaction_costs_is_within_its_limit(world: World, sender: str) -> None:
    payment, since = pay(sender, world.new_address(), world.some_minor), await world.height() + 1
    quote = await world.adapter.quote(payment)
    unsigned = await world.build(payment, quote)
    assert unsigned == await world.build(payment, quote)
    assert msgspec.json.decode(msgspec.json.encode(unsigned), type=type(unsigned)) == unsigned
    signed = world.sign(unsigned)
    await accept(world, signed)
    await world.mine()
    mined = await find(world, signed.transaction_id, since)
    assert mined is not None
    assert 0 < (mined.fee_minor or unsigned.fee_minor_max) <= unsigned.fee_minor_max


@chains()
async def test_a_transaction_that_expires_does_so_after_the_next_block(
    world: World, sender: str
) -> None:
    unsigned = await world.build(pay(sender, world.new_address(), world.some_minor))
    tip = await read(world, await world.height())
    assert unsigned.valid_until is None or unsigned.valid_until > tip.clock > 0


@chains(lambda chain: chain.slot == "nonce" and chain.queues)
async def test_nonces_are_counted_per_sender_and_mined_in_order(world: World, sender: str) -> None:
    recipient = world.new_address()
    quote = await world.adapter.quote(pay(sender, recipient, 1))
    assert quote.next_nonce == 0
    for nonce in (2, 0, 1):
        unsigned = world.adapter.build(pay(sender, recipient, nonce + 1), quote, nonce)
        await accept(world, world.sign(unsigned))
    await world.mine(3)
    assert await world.balance(recipient, None, await world.height()) == 6
    assert (await world.adapter.quote(pay(sender, recipient, 1))).next_nonce == 3


async def refusal_of(world: World, payment: Payment) -> str:
    with pytest.raises(PaymentRefused) as refused:
        await world.build(payment)
    assert str(refused.value)
    return refused.value.reason


@chains()
async def test_a_sender_without_the_money_is_refused(world: World, sender: str) -> None:
    poor, recipient = world.new_address(), world.new_address()
    refused = [
        await refusal_of(world, pay(poor, recipient, world.some_minor)),
        await refusal_of(world, pay(sender, recipient, world.funds_minor)),
    ]
    assert refused == ["sender_lacks_funds"] * 2


@chains(lambda chain: chain.tokens)
async def test_a_sender_without_the_tokens_is_refused(world: World, sender: str) -> None:
    token = await world.issue_token(sender, 100)
    recipient = await world.new_holder(token)
    assert await refusal_of(world, pay(sender, recipient, 101, token)) == "sender_lacks_funds"


@chains(lambda chain: chain.reorganises)
async def test_a_reorganisation_changes_the_blocks_above_the_fork(
    world: World, sender: str
) -> None:
    recipient = world.new_address()
    fork = await world.height()
    mined = await send(world, pay(sender, recipient, world.some_minor))
    await world.mine(2)
    old = [await read(world, height) for height in range(fork, fork + 4)]
    await world.reorganise(3)
    new = [await read(world, height) for height in range(fork, fork + 4)]
    assert new[0] == old[0]
    for before, after, parent in zip(old[1:], new[1:], new, strict=False):
        assert after.block_id != before.block_id
        assert after.parent_id == parent.block_id
        assert mined.id not in {transaction.id for transaction in after.transactions}
    assert await world.balance(recipient, None, fork + 3) == 0


@chains(lambda chain: chain.reorganises)
async def test_a_transaction_mined_again_keeps_its_identity(world: World, sender: str) -> None:
    since = await world.height() + 1
    signed = await world.order(pay(sender, world.new_address(), world.some_minor))
    await accept(world, signed)
    await world.mine()
    first = await find(world, signed.transaction_id, since)
    await world.reorganise(1)
    assert await find(world, signed.transaction_id, since) is None
    await world.mine()
    await accept(world, signed)
    await world.mine()
    again = await find(world, signed.transaction_id, since)
    assert again is not None
    assert again.transfers == (first.transfers if first else None)


@chains()
async def test_the_tip_is_told_at_once_and_after_each_change(world: World) -> None:
    height = await world.height()
    async with aclosing(world.adapter.watch_tip()) as tips:
        assert (await anext(tips)).height == height
        for _ in range(3):
            await world.mine()
            height = await world.height()
            tip = await anext(tips)
            while tip.height < height:  # the same one again, with another finalized height
                tip = await anext(tips)
            assert (tip.height, tip.block_id) == (height, (await read(world, height)).block_id)


@chains(lambda chain: chain.reorganises)
async def test_a_tip_of_another_branch_is_told(world: World) -> None:
    await world.mine(3)
    height = await world.height()
    async with aclosing(world.adapter.watch_tip()) as tips:
        await anext(tips)
        await world.reorganise(2)
        new = await read(world, height)
        tip = await anext(tips)
        while tip.block_id != new.block_id:
            tip = await anext(tips)
        assert tip.height == height


@chains()
async def test_safe_and_finalized_are_not_above_the_tip(world: World) -> None:
    await world.mine(40)
    async with aclosing(world.adapter.watch_tip()) as tips:
        tip = await anext(tips)
    safe_height = tip.height if tip.safe_height is None else tip.safe_height
    finalized_height = safe_height if tip.finalized_height is None else tip.finalized_height
    assert 0 < finalized_height <= safe_height <= tip.height


@chains()
async def test_addresses_are_canonical_everywhere(world: World, sender: str) -> None:
    recipient, since = world.new_address(), await world.height() + 1
    await send(world, pay(sender, recipient, world.some_minor))
    for address in (sender, recipient):
        shown = world.adapter.show_address(address)
        assert world.adapter.parse_address(shown) == address
        assert world.adapter.parse_address(address) == address
        assert world.adapter.parse_destination(shown, None).address == address
    assert [t.address for t in await arrived(world, recipient, since)] == [recipient]


@chains(lambda chain: not chain.memos)
async def test_a_memo_is_refused_where_there_are_none(world: World) -> None:
    assert world.adapter.make_memo(7) is None
    with pytest.raises(InvalidMemo):
        world.adapter.parse_destination(world.new_address(), "7")


@chains(lambda chain: chain.memos)
async def test_a_memo_arrives_as_it_was_sent(world: World, sender: str) -> None:
    recipient, since = world.new_address(), await world.height() + 1
    memo = world.adapter.make_memo(7)
    assert memo is not None
    destination = world.adapter.parse_destination(recipient, memo)
    assert destination.memo == memo
    await send(world, Payment(sender, recipient, None, world.some_minor, destination.memo))
    assert [t.memo for t in await arrived(world, recipient, since)] == [memo]


@chains()
async def test_a_signature_of_someone_else_is_refused(world: World, sender: str) -> None:
    unsigned = await world.build(pay(sender, world.new_address(), world.some_minor))
    stranger = world.new_address()
    signatures = world.signatures(stranger, unsigned)
    with pytest.raises(ValueError, match="signature"):
        world.adapter.assemble(unsigned, signatures)
