"""The promises of chain_adapters/adapter.py about reading, held against every adapter."""

from __future__ import annotations

from collections import defaultdict
from contextlib import aclosing
from itertools import pairwise
from typing import get_args

import pytest

from chain_adapters.types import Holding, InvalidMemo, Payment
from settings.model import Kind
from tests.support.adapter_contract import accept, arrived, chains, find, pay, read, read_from, send
from tests.support.chain_worlds import CHAINS, World


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


@chains(lambda chain: chain.tokens)
async def test_a_token_tells_its_decimals_and_what_it_calls_itself(
    world: World, sender: str
) -> None:
    contract = await world.issue_token(sender, 100)
    told = await world.adapter.fetch_token(world.adapter.parse_contract(contract))
    assert told is not None
    assert told.decimals == world.token_decimals
    assert told.symbol is None or told.symbol[0] == "T"


@chains(lambda chain: chain.tokens)
async def test_where_there_is_no_token_none_is_told(world: World, sender: str) -> None:
    await world.issue_token(sender, 100)
    assert await world.adapter.fetch_token(world.token_of_nobody()) is None


@chains(lambda chain: not chain.tokens)
async def test_a_chain_without_tokens_tells_of_none(world: World) -> None:
    assert await world.adapter.fetch_token(world.new_address()) is None


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
