"""The promises of chain_adapters/adapter.py about paying, held against every adapter."""

from __future__ import annotations

import msgspec
import pytest

from chain_adapters.types import BroadcastOutcome, Payment, PaymentRefused
from tests.support.adapter_contract import accept, chains, find, pay, read, send
from tests.support.chain_worlds import World


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


@chains()
async def test_a_quote_tells_what_the_nonce_was_before_the_sender_ever_paid(
    world: World, sender: str
) -> None:
    payment = pay(sender, world.new_address(), world.some_minor)
    before = await world.adapter.quote(payment)
    assert before.first_nonce == before.next_nonce
    await accept(world, world.sign(await world.build(payment, before)))
    await world.mine()
    after = await world.adapter.quote(payment)
    assert after.first_nonce == before.first_nonce
    assert before.next_nonce is None or after.next_nonce == before.next_nonce + 1


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


@chains()
async def test_a_signature_of_someone_else_is_refused(world: World, sender: str) -> None:
    unsigned = await world.build(pay(sender, world.new_address(), world.some_minor))
    stranger = world.new_address()
    signatures = world.signatures(stranger, unsigned)
    with pytest.raises(ValueError, match="signature"):
        world.adapter.assemble(unsigned, signatures)
