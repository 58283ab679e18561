"""The adapter against the simulated node: what only a chain that goes on can show."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
from stellar_sdk import (
    AccountMerge,
    Asset,
    ChangeTrust,
    Claimant,
    ClaimClaimableBalance,
    CreateClaimableBalance,
    FeeBumpTransaction,
    FeeBumpTransactionEnvelope,
    Keypair,
    ManageData,
    MuxedAccount,
    PathPaymentStrictReceive,
    PathPaymentStrictSend,
    SetOptions,
    SetTrustLineFlags,
    TransactionEnvelope,
)
from stellar_sdk import Payment as Pay
from stellar_sdk.operation.set_options import AuthorizationFlag
from stellar_sdk.operation.set_trust_line_flags import TrustLineFlags

from chain_adapters.stellar.adapter import StellarAdapter
from chain_adapters.types import (
    Block,
    BroadcastOutcome,
    Holding,
    NodeUnavailable,
    Payment,
    PaymentRefused,
    SignedTransaction,
    Transaction,
    WrongNetwork,
)
from devstack.chains.stellar import RECIPIENT_MINOR, StellarNode, decimal_of, read_asset
from devstack.chains.stellar_chain import BANK
from devstack.chains.stellar_envelopes import PASSPHRASE
from tests.support.chain_worlds.stellar import StellarWorld, open_stellar_world

XLM = 10**7
ACCEPTED, REFUSED = BroadcastOutcome.ACCEPTED, BroadcastOutcome.REFUSED
NATIVE = Asset.native()


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


async def last_block(world: StellarWorld) -> Block:
    block = await world.adapter.fetch_block(await world.height())
    assert block is not None
    return block


async def only(world: StellarWorld) -> Transaction:
    """Close a ledger and return the one transaction in it."""
    await world.mine()
    (found,) = (await last_block(world)).transactions
    return found


async def outcome(world: StellarWorld, signed: SignedTransaction) -> BroadcastOutcome:
    return (await world.adapter.broadcast(signed)).outcome


async def refusal(world: StellarWorld, payment: Payment) -> str:
    with pytest.raises(PaymentRefused) as refused:
        await world.adapter.quote(payment)
    return refused.value.reason


# Deposits


@pytest.mark.parametrize(
    "memo", [None, "id:0", f"id:{2**64 - 1}", "text:abc", "text:é", "hash:" + 64 * "a"]
)
async def test_a_deposit_keeps_its_memo(world: StellarWorld, sender: str, memo: str | None) -> None:
    await world.chain.pay(sender, 5, memo)
    (transfer,) = (await only(world)).transfers
    assert (transfer.index, transfer.sender) == ("op:0", BANK.public_key)
    assert (transfer.address, transfer.amount_minor, transfer.memo) == (sender, 5, memo)


async def test_a_muxed_deposit_goes_to_the_account_and_its_number_wins(
    world: StellarWorld, sender: str
) -> None:
    await world.chain.pay(MuxedAccount(sender, 77).account_muxed or "", 5, "id:1")
    (transfer,) = (await only(world)).transfers
    assert (transfer.address, transfer.memo) == (sender, "id:77")


async def test_several_operations_are_several_deposits(world: StellarWorld, sender: str) -> None:
    await world.chain.act(BANK, [Pay(sender, NATIVE, "1"), Pay(sender, NATIVE, "1")], "id:4")
    transfers = (await only(world)).transfers
    assert [t.index for t in transfers] == ["op:0", "op:1"]
    assert {t.memo for t in transfers} == {"id:4"}


async def test_a_path_payment_credits_what_arrived(world: StellarWorld) -> None:
    token = await world.chain.issue_token("PATH")
    holder = await world.chain.new_account(token)
    await world.chain.set_rate("native", token, 1, 4)
    send = PathPaymentStrictSend(holder.public_key, NATIVE, "10", read_asset(token), "1", [])
    receive = PathPaymentStrictReceive(holder.public_key, NATIVE, "99", read_asset(token), "3", [])
    await world.chain.act(BANK, [send, receive])
    first, second = (await only(world)).transfers
    assert (first.contract, first.amount_minor) == (token, 25_000_000)
    assert (second.contract, second.amount_minor) == (token, 3 * XLM)
    assert first.sender is second.sender is None
    held = await world.balance(holder.public_key, token, 0)
    assert held == 25_000_000 + 3 * XLM


async def test_a_merged_account_credits_all_it_held(world: StellarWorld, sender: str) -> None:
    stranger = await world.chain.new_account(amount_minor=7 * XLM)
    await world.chain.act(stranger, [AccountMerge(sender)], "id:9")
    (transfer,) = (await only(world)).transfers
    assert (transfer.sender, transfer.address) == (stranger.public_key, sender)
    assert (transfer.amount_minor, transfer.memo) == (7 * XLM - 100, "id:9")
    assert await world.balance(stranger.public_key, None, 0) == 0


async def test_a_claimable_balance_credits_only_when_claimed(world: StellarWorld) -> None:
    claimer = await world.chain.new_account()
    set_aside = CreateClaimableBalance(NATIVE, "3", [Claimant(claimer.public_key)])
    await world.chain.act(BANK, [set_aside])
    assert (await only(world)).transfers == ()
    effects = await world.chain.ask(f"ledgers/{await world.height()}/effects")
    (name,) = {e["balance_id"] for e in effects["_embedded"]["records"] if "balance_id" in e}
    await world.chain.act(claimer, [ClaimClaimableBalance(name)])
    (transfer,) = (await only(world)).transfers
    assert (transfer.address, transfer.amount_minor) == (claimer.public_key, 3 * XLM)
    assert transfer.sender is None


async def test_a_failed_operation_takes_the_others_along(world: StellarWorld, sender: str) -> None:
    lost = Pay(Keypair.random().public_key, NATIVE, "1")
    await world.chain.act(BANK, [Pay(sender, NATIVE, "1"), lost])
    failed = await only(world)
    assert (failed.succeeded, failed.transfers, failed.fee_minor) == (False, (), 200)
    assert failed.payer == BANK.public_key


async def test_a_stranger_who_bumps_our_payment_pays_and_hides_nothing(
    world: StellarWorld, sender: str
) -> None:
    signed = await world.order(Payment(sender, await world.chain.new_recipient(), None, XLM))
    stranger = await world.chain.new_account()
    inner = TransactionEnvelope.from_xdr(b64encode(signed.raw).decode(), PASSPHRASE)
    bump = FeeBumpTransaction(stranger.public_key, 4000, inner)
    envelope = FeeBumpTransactionEnvelope(bump, PASSPHRASE)
    envelope.sign(stranger)
    await world.chain.submit(envelope.to_xdr())
    await world.mine()
    outer, ours = (await last_block(world)).transactions
    assert (outer.id, outer.payer) == (envelope.hash_hex(), stranger.public_key)
    assert (outer.fee_minor, len(outer.transfers)) == (200, 1)
    assert (ours.id, ours.succeeded) == (signed.transaction_id, True)
    assert (ours.fee_minor, ours.transfers) == (0, ())
    assert await outcome(world, signed) is ACCEPTED


async def test_a_ledger_of_many_pages_is_read_whole(world: StellarWorld, sender: str) -> None:
    await world.chain.pay_many([(sender, n + 1) for n in range(450)])
    for _ in range(220):
        await world.chain.pay(sender, 1)
    await world.mine()
    await world.chain.drive("seen")
    transactions = (await last_block(world)).transactions
    amounts = [t.amount_minor for one in transactions for t in one.transfers]
    assert amounts == [*range(1, 451), *[1] * 220]
    seen = [path.rpartition("/")[2] for path in await world.chain.drive("seen")]
    assert (seen.count("transactions"), seen.count("operations")) == (2, 4)


async def test_a_quiet_ledger_takes_one_call(world: StellarWorld) -> None:
    await world.mine()
    height = await world.height()
    await world.adapter.fetch_block(height)
    await world.chain.drive("seen")
    await world.adapter.fetch_block(height)
    assert await world.chain.drive("seen") == [f"/ledgers/{height}"]


async def test_a_page_that_lacks_a_record_makes_no_block(world: StellarWorld, sender: str) -> None:
    await world.chain.pay(sender, 5)
    await world.mine()
    height = await world.height()
    for times in (1, 2, 4):
        await world.chain.misbehave("cut", times)
        with pytest.raises(NodeUnavailable):
            await world.adapter.fetch_block(height)
        await world.chain.misbehave("cut", 0)
    assert len((await last_block(world)).transactions) == 1


async def test_a_limited_rate_is_no_answer(world: StellarWorld) -> None:
    await world.chain.misbehave("rate_limit", 3)
    with pytest.raises(NodeUnavailable):
        await world.adapter.fetch_block(1)
    await world.chain.misbehave("rate_limit", 0)
    assert await world.adapter.fetch_block(1) is not None


async def test_there_is_no_ledger_below_the_first(world: StellarWorld) -> None:
    assert await world.adapter.fetch_block(0) is None
    assert await world.adapter.fetch_block(-1) is None


async def test_a_server_of_another_network_is_refused(stellar_node: StellarNode) -> None:
    adapter = StellarAdapter("stellar:pubnet", [stellar_node.rpc_url])
    with pytest.raises(WrongNetwork, match="Standalone"):
        await adapter.fetch_block(1)
    await adapter.close()


async def test_an_address_without_account_holds_nothing(world: StellarWorld) -> None:
    nobody = world.new_address()
    token = await world.chain.issue_token("NONE")
    held = await world.adapter.fetch_balances([Holding(nobody), Holding(nobody, token)], 1)
    assert held == [0, 0]


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


# The simulator itself


def test_ledgers_are_there_again_after_a_kill(tmp_path: Path) -> None:
    node = StellarNode(tmp_path)

    async def pay() -> tuple[int, str]:
        async with node.open_chain() as chain:
            address = await chain.new_recipient()
            await chain.pay(address, 5)
            await chain.mine()
            return await chain.height(), address

    async def look(address: str) -> tuple[int, int]:
        adapter = StellarAdapter(node.network, [node.rpc_url])
        [held] = await adapter.fetch_balances([Holding(address)], 0)
        async with node.open_chain() as chain:
            height = await chain.height()
        await adapter.close()
        return height, held

    with node:
        height, address = asyncio.run(pay())
        node.kill()
        node.start()
        assert asyncio.run(look(address)) == (height, RECIPIENT_MINOR + 5)
