"""Paying on the simulated Stellar node: refusals before money moves, and broadcasts."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import AsyncIterator

import msgspec
import pytest
from stellar_sdk import (
    ChangeTrust,
    Keypair,
    ManageData,
    MuxedAccount,
    SetOptions,
    SetTrustLineFlags,
    TransactionEnvelope,
)
from stellar_sdk import Payment as Pay
from stellar_sdk.operation.set_options import AuthorizationFlag
from stellar_sdk.operation.set_trust_line_flags import TrustLineFlags

from chain_adapters.types import BroadcastOutcome, NodeUnavailable, Payment, SignedTransaction
from devstack.chains.stellar import StellarNode, decimal_of, read_asset
from devstack.chains.stellar_chain import BANK
from devstack.chains.stellar_envelopes import PASSPHRASE
from tests.support.chain_worlds.stellar import StellarWorld, open_stellar_world
from tests.support.stellar_node import last_block, only, outcome, refusal

XLM = 10**7
ACCEPTED, REFUSED = BroadcastOutcome.ACCEPTED, BroadcastOutcome.REFUSED


@pytest.fixture
async def world(stellar_node: StellarNode) -> AsyncIterator[StellarWorld]:
    opened = await open_stellar_world(stellar_node)
    yield opened
    await opened.close()


@pytest.fixture
async def sender(world: StellarWorld) -> str:
    address = world.new_address()
    await world.fund(address, world.funds_minor)
    return address


# Refusals before money moves


async def test_a_new_account_must_get_its_reserve(world: StellarWorld, sender: str) -> None:
    assert await refusal(world, Payment(sender, world.new_address(), None, XLM - 1)) == (
        "below_reserve"
    )
    recipient = world.new_address()
    signed = await world.order(Payment(sender, recipient, None, XLM))
    assert await outcome(world, signed) is ACCEPTED
    await world.mine()
    assert await world.balance(recipient, None, 0) == XLM


async def test_an_asset_makes_no_account(world: StellarWorld, sender: str) -> None:
    token = await world.issue_token(sender, 100)
    assert await refusal(world, Payment(sender, world.new_address(), token, 5)) == (
        "recipient_missing"
    )


async def test_what_no_operation_can_carry_is_refused(world: StellarWorld, sender: str) -> None:
    for amount_minor, reason in ((0, "amount_too_small"), (2**63, "amount_too_large")):
        payment = Payment(sender, BANK.public_key, None, amount_minor)
        assert await refusal(world, payment) == reason


async def test_recipients_that_require_a_memo_get_nothing_without(
    world: StellarWorld, sender: str
) -> None:
    exchange = await world.chain.new_account()
    await world.chain.act(exchange, [ManageData("config.memo_required", "1")])
    await world.mine()
    payment = Payment(sender, exchange.public_key, None, XLM)
    assert await refusal(world, payment) == "memo_required"
    for memo in ("id:1", "text:a"):
        await world.adapter.quote(msgspec.structs.replace(payment, memo=memo))


async def test_a_recipient_without_trustline_is_refused(world: StellarWorld, sender: str) -> None:
    token = await world.issue_token(sender, 100)
    stranger = await world.chain.new_recipient()
    assert await refusal(world, Payment(sender, stranger, token, 5)) == "no_trustline"


async def test_what_an_issuer_receives_would_be_destroyed(world: StellarWorld, sender: str) -> None:
    token = await world.issue_token(sender, 100)
    to_issuer = Payment(sender, BANK.public_key, token, 5)
    assert await refusal(world, to_issuer) == "recipient_is_issuer"
    muxed = MuxedAccount(BANK.public_key, 7).account_muxed or ""
    aimed = world.adapter.parse_destination(muxed, None)
    to_muxed = Payment(sender, aimed.address, token, 5, aimed.memo)
    assert await refusal(world, to_muxed) == "recipient_is_issuer"


async def test_an_issuer_pays_none_of_its_own_asset_through_us(
    world: StellarWorld, sender: str
) -> None:
    stranger = await world.chain.new_account(f"OWN:{sender}")
    payment = Payment(sender, stranger.public_key, f"OWN:{sender}", 5)
    assert await refusal(world, payment) == "sender_is_issuer"


async def test_a_full_trustline_is_refused(world: StellarWorld, sender: str) -> None:
    token = await world.issue_token(sender, 100)
    stranger = await world.chain.new_account(token)
    await world.chain.act(stranger, [ChangeTrust(read_asset(token), decimal_of(50))])
    await world.mine()
    assert await refusal(world, Payment(sender, stranger.public_key, token, 51)) == (
        "trustline_limit"
    )
    await world.adapter.quote(Payment(sender, stranger.public_key, token, 50))


async def test_a_trustline_must_be_authorised_on_both_sides(
    world: StellarWorld, sender: str
) -> None:
    issuer, stranger = await world.chain.new_account(), await world.chain.new_account()
    required = AuthorizationFlag.AUTHORIZATION_REQUIRED
    await world.chain.act(issuer, [SetOptions(set_flags=required)])
    await world.mine()
    token = f"SAFE:{issuer.public_key}"
    asset = read_asset(token)
    await world.trust(sender, token)
    await world.chain.act(stranger, [ChangeTrust(asset)])
    await world.mine()
    to_stranger = Payment(sender, stranger.public_key, token, 5)
    assert await refusal(world, to_stranger) == "trustline_not_authorized"
    flag = TrustLineFlags.AUTHORIZED_FLAG
    allow = [SetTrustLineFlags(a, asset, set_flags=flag) for a in (sender, stranger.public_key)]
    await world.chain.act(issuer, [*allow, Pay(sender, asset, decimal_of(5))])
    await world.mine()
    await world.adapter.quote(to_stranger)
    forbid = SetTrustLineFlags(sender, asset, clear_flags=flag)
    await world.chain.act(issuer, [forbid])
    await world.mine()
    assert await refusal(world, to_stranger) == "trustline_not_authorized"


async def test_the_own_reserve_stays(world: StellarWorld) -> None:
    poor = world.new_address()
    await world.fund(poor, 3 * XLM)
    quote = await world.adapter.quote(Payment(poor, BANK.public_key, None, 1))
    assert quote.held_native_minor == 2 * XLM
    spendable = 2 * XLM - quote.fee_minor_max
    assert await refusal(world, Payment(poor, BANK.public_key, None, spendable + 1)) == (
        "sender_lacks_funds"
    )
    signed = await world.order(Payment(poor, BANK.public_key, None, spendable))
    assert await outcome(world, signed) is ACCEPTED
    assert (await only(world)).succeeded


async def test_an_address_is_prepared_for_an_asset_by_paying_itself_nothing(
    world: StellarWorld, sender: str
) -> None:
    token = await world.chain.issue_token("NEW")
    payment = Payment(sender, sender, token, 0)
    signed = await world.order(payment)
    assert await outcome(world, signed) is ACCEPTED
    prepared = await only(world)
    assert (prepared.id, prepared.transfers) == (signed.transaction_id, ())
    assert await refusal(world, payment) == "trustline_exists"
    nobody = Keypair.random().public_key
    assert await refusal(world, Payment(sender, sender, f"X:{nobody}", 0)) == "issuer_missing"
    assert await refusal(world, Payment(sender, sender, f"X:{sender}", 0)) == "recipient_is_issuer"
    poor = world.new_address()
    await world.fund(poor, XLM + 1000)
    assert await refusal(world, Payment(poor, poor, token, 0)) == "sender_lacks_funds"


async def test_a_cap_below_the_going_rate_is_refused(stellar_node: StellarNode) -> None:
    world = await open_stellar_world(stellar_node, fee_minor_max=99)
    sender = world.new_address()
    await world.fund(sender, 100 * XLM)
    assert await refusal(world, Payment(sender, BANK.public_key, None, 5)) == "fee_above_cap"
    await world.close()


# Broadcasts


async def test_a_time_out_is_unknown_and_the_same_envelope_is_sent_again(
    world: StellarWorld, sender: str
) -> None:
    recipient = await world.chain.new_recipient()
    before = await world.balance(recipient, None, 0)
    signed = await world.order(Payment(sender, recipient, None, XLM))
    await world.chain.misbehave("timeout")
    with pytest.raises(NodeUnavailable, match="504"):
        await world.adapter.broadcast(signed)
    assert await outcome(world, signed) is ACCEPTED
    await world.mine()
    assert await outcome(world, signed) is ACCEPTED
    await world.mine()
    assert await world.balance(recipient, None, 0) == before + XLM


async def test_an_old_server_is_asked_in_the_old_way(world: StellarWorld, sender: str) -> None:
    signed = await world.order(Payment(sender, BANK.public_key, None, XLM))
    other = world.new_address()
    await world.fund(other, 2 * XLM)
    await world.chain.misbehave("no_async", 9)
    with pytest.raises(NodeUnavailable, match="504"):
        await world.adapter.broadcast(signed)
    await world.mine()
    assert await outcome(world, signed) is ACCEPTED
    late = await world.order(Payment(other, BANK.public_key, None, 5))
    await world.chain.mine(later_s=3600)
    assert (await world.adapter.broadcast(late)).detail == "tx_too_late"
    await world.chain.misbehave("no_async", 0)


async def test_a_second_payment_waits_until_the_first_is_in_a_ledger(
    world: StellarWorld, sender: str
) -> None:
    payments = [Payment(sender, BANK.public_key, None, n) for n in (5, 6)]
    quote = await world.adapter.quote(payments[0])
    first, second = (world.sign(world.adapter.build(p, quote, quote.next_nonce)) for p in payments)
    assert await outcome(world, first) is ACCEPTED
    with pytest.raises(NodeUnavailable, match="503"):
        await world.adapter.broadcast(second)
    await world.mine()
    assert await outcome(world, second) is BroadcastOutcome.NONCE_USED


async def test_a_server_that_lags_behind_core_does_not_call_our_sequence_used(
    world: StellarWorld, sender: str
) -> None:
    payments = [Payment(sender, BANK.public_key, None, n) for n in (5, 6)]
    quote = await world.adapter.quote(payments[0])
    first, rival = (world.sign(world.adapter.build(p, quote, quote.next_nonce)) for p in payments)
    assert await outcome(world, first) is ACCEPTED
    await world.chain.freeze(True)
    await world.mine()
    for signed in (first, rival):
        with pytest.raises(NodeUnavailable, match="tx_bad_seq"):
            await world.adapter.broadcast(signed)
    await world.chain.freeze(False)
    assert await outcome(world, first) is ACCEPTED
    assert await outcome(world, rival) is BroadcastOutcome.NONCE_USED


async def test_a_sequence_that_is_not_next_is_not_called_used(
    world: StellarWorld, sender: str
) -> None:
    payment = Payment(sender, BANK.public_key, None, 5)
    quote = await world.adapter.quote(payment)
    early = world.sign(world.adapter.build(payment, quote, (quote.next_nonce or 0) + 1))
    with pytest.raises(NodeUnavailable, match="tx_bad_seq"):
        await world.adapter.broadcast(early)


async def test_after_its_time_a_payment_is_refused_and_replaced_in_its_place(
    world: StellarWorld, sender: str
) -> None:
    payment = Payment(sender, BANK.public_key, None, 5)
    old = await world.build(payment)
    assert old.valid_until is not None
    signed = world.sign(old)
    await world.chain.mine(later_s=3600)
    assert (await last_block(world)).clock > old.valid_until
    assert await outcome(world, signed) is REFUSED
    new = await world.build(payment, replaces=old)
    assert (new.nonce, new.fee_minor_max) == (old.nonce, 2 * old.fee_minor_max)
    assert new.valid_until is not None
    assert new.valid_until > old.valid_until
    replacement = world.sign(new)
    assert await outcome(world, replacement) is ACCEPTED
    assert (await only(world)).id == replacement.transaction_id
    assert await outcome(world, signed) is not ACCEPTED


async def test_what_landed_is_accepted_even_after_its_time(
    world: StellarWorld, sender: str
) -> None:
    signed = await world.order(Payment(sender, BANK.public_key, None, 5))
    assert await outcome(world, signed) is ACCEPTED
    await world.mine()
    await world.chain.mine(later_s=3600)
    assert await outcome(world, signed) is ACCEPTED


async def test_what_expired_while_it_waited_never_lands(world: StellarWorld, sender: str) -> None:
    signed = await world.order(Payment(sender, BANK.public_key, None, 5))
    assert await outcome(world, signed) is ACCEPTED
    await world.chain.mine(later_s=7200)
    assert (await last_block(world)).transactions == ()
    assert await outcome(world, signed) is REFUSED


async def test_bytes_that_core_would_not_take_are_refused(world: StellarWorld, sender: str) -> None:
    signed = await world.order(Payment(sender, BANK.public_key, None, 5))
    garbage = SignedTransaction(signed.transaction_id, b"garbage")
    answer = await world.adapter.broadcast(garbage)
    assert (answer.outcome, answer.detail) == (REFUSED, "transaction_malformed")
    forged = TransactionEnvelope.from_xdr(b64encode(signed.raw).decode(), PASSPHRASE)
    forged.signatures.clear()
    forged.sign(Keypair.random())
    answer = await world.adapter.broadcast(
        SignedTransaction(signed.transaction_id, forged.to_xdr_object().to_xdr_bytes())
    )
    assert (answer.outcome, answer.detail) == (REFUSED, "tx_bad_auth")


async def test_a_fee_below_the_base_fee_is_refused(world: StellarWorld, sender: str) -> None:
    payment = Payment(sender, BANK.public_key, None, 5)
    quote = await world.adapter.quote(payment)
    terms = msgspec.json.decode(quote.parameters)
    terms["fee_minor"] = 99
    cheap = msgspec.structs.replace(quote, parameters=msgspec.json.encode(terms))
    signed = world.sign(world.adapter.build(payment, cheap, quote.next_nonce))
    answer = await world.adapter.broadcast(signed)
    assert (answer.outcome, answer.detail) == (REFUSED, "tx_insufficient_fee")
