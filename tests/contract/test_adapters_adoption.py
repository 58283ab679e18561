"""A payment that an adapter makes is proven by the block that has it: what `adopt` leans on."""

from __future__ import annotations

import msgspec
import pytest

from agents.by_operator.adoption import NotAdoptable, prove_payment
from chain_adapters.types import Block, Payment
from tests.support.adapter_contract import accept, chains, pay, read_from
from tests.support.chain_worlds import World


async def mined(world: World, payment: Payment) -> tuple[Block, str]:
    """Make a payment; return the block that has it, and its id."""
    signed = await world.order(payment)
    since = await world.height() + 1
    await accept(world, signed)
    await world.mine(3)
    [block] = [
        block
        for block in await read_from(world, since)
        if signed.transaction_id in {transaction.id for transaction in block.transactions}
    ]
    return block, signed.transaction_id


@chains()
async def test_a_native_payment_is_proven_by_its_block(world: World, sender: str) -> None:
    payment = pay(sender, world.new_address(), world.some_minor)
    block, id_ = await mined(world, payment)
    if world.kind == "ton":  # another transaction, the recipient's, has the money
        with pytest.raises(NotAdoptable, match="on TON"):
            prove_payment(block, id_, payment, {None})
        return
    assert prove_payment(block, id_, payment, {None}).id == id_


@chains(lambda chain: chain.tokens)
async def test_a_token_payment_is_proven_by_its_block(world: World, sender: str) -> None:
    token = await world.issue_token(sender, 100)
    payment = pay(sender, await world.new_holder(token), 60, token)
    block, id_ = await mined(world, payment)
    if world.kind == "ton":
        with pytest.raises(NotAdoptable, match="on TON"):
            prove_payment(block, id_, payment, {None, token})
        return
    assert prove_payment(block, id_, payment, {None, token}).id == id_


@chains(lambda chain: chain.memos)
async def test_a_payment_is_proven_with_its_own_memo_alone(world: World, sender: str) -> None:
    memo, another = world.adapter.make_memo(7), world.adapter.make_memo(8)
    recipient = await world.new_holder(None)
    await world.fund(recipient, world.funds_minor)
    payment = msgspec.structs.replace(pay(sender, recipient, world.some_minor), memo=memo)
    block, id_ = await mined(world, payment)
    if world.kind == "ton":
        with pytest.raises(NotAdoptable, match="on TON"):
            prove_payment(block, id_, payment, {None})
        return
    assert prove_payment(block, id_, payment, {None}).id == id_
    with pytest.raises(NotAdoptable, match="another memo"):
        prove_payment(block, id_, msgspec.structs.replace(payment, memo=another), {None})
