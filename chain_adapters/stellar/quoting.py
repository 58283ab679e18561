"""Asking Horizon what a payment would cost, and whether it could succeed at all."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from chain_adapters.rpc import Endpoint
from chain_adapters.stellar import wire
from chain_adapters.stellar.amounts import is_issuer, to_minor, to_number
from chain_adapters.stellar.network import AMOUNT_MINOR_MAX, RESERVES_OF_AN_ACCOUNT
from chain_adapters.stellar.pay import Kind, Terms, prepares_trustline
from chain_adapters.stellar.reading import expect_ok, fetch_latest
from chain_adapters.types import NodeUnavailable, Payment, PaymentRefused, Quote

VALID_S = 180
"""Seconds after the latest ledger's close in which a transaction may be applied: 30 ledgers."""

FEE_FACTOR = 2
"""What is bid over the fee that 95 of 100 paid lately. Only the going rate is charged (CAP-5)."""

MEMO_REQUIRED = ("config.memo_required", "MQ==")
"""Data entry and value ("1" in base64) of accounts that take nothing without memo (SEP-29)."""


class Facts(NamedTuple):
    """What a quote is made from. `issuer_exists` matters for trustlines only."""

    ledger: wire.WireLedger
    fees: wire.WireFeeStats
    sender: wire.WireAccount | None
    recipient: wire.WireAccount | None
    issuer: wire.WireAccount | None


async def quote(endpoint: Endpoint, payment: Payment, fee_minor_cap: int) -> Quote:
    """Quote a payment at one endpoint.

    PaymentRefused reasons: sender_lacks_funds, fee_above_cap, amount_too_small, amount_too_large,
    below_reserve (a new account must get its reserve), recipient_missing (an asset cannot make an
    account), memo_required, no_trustline, trustline_not_authorized, trustline_limit,
    recipient_is_issuer (the asset would be destroyed), sender_is_issuer (it would be made),
    trustline_exists, issuer_missing.
    """
    check_amount(payment)
    facts = await gather_facts(endpoint, payment)
    if facts.sender is None:
        raise PaymentRefused("sender_lacks_funds", "the sender's account does not exist")
    kind = judge(payment, facts.sender, facts)
    fee_minor = choose_fee(facts.fees, fee_minor_cap)
    held_minor = held_of(facts.sender, payment.contract, facts.ledger)
    held_native_minor = held_of(facts.sender, None, facts.ledger)
    if held_minor < payment.amount_minor:
        raise PaymentRefused("sender_lacks_funds", "the sender can spend less than the amount")
    if held_native_minor < native_cost(payment, kind, facts.ledger) + fee_minor:
        raise PaymentRefused("sender_lacks_funds", "the sender cannot pay the fee or the reserve")
    closed_at = int(facts.ledger.closed_at.timestamp())
    return Quote(
        fee_minor_max=fee_minor,
        next_nonce=next_sequence(facts.sender),
        parameters=msgspec.json.encode(Terms(kind, fee_minor, closed_at + VALID_S)),
        held_minor=held_minor,
        held_native_minor=held_native_minor,
        first_nonce=first_sequence(facts.sender),
    )


def check_amount(payment: Payment) -> None:
    """Refuse amounts that no operation can carry."""
    if payment.amount_minor > AMOUNT_MINOR_MAX:
        raise PaymentRefused("amount_too_large", "the amount does not fit into 63 bits")
    if payment.amount_minor <= 0 and not prepares_trustline(payment):
        raise PaymentRefused("amount_too_small", "a payment of nothing is not valid")


async def gather_facts(endpoint: Endpoint, payment: Payment) -> Facts:
    """Ask for everything at once."""
    issuer = payment.contract.partition(":")[2] if payment.contract is not None else None
    wanted = [payment.sender, payment.recipient]
    if issuer is not None and prepares_trustline(payment):
        wanted.append(issuer)
    ledger, fees, accounts = await asyncio.gather(
        fetch_latest(endpoint), fetch_fees(endpoint), fetch_accounts(endpoint, wanted)
    )
    sender, recipient, *rest = accounts
    return Facts(ledger, fees, sender, recipient, rest[0] if rest else None)


async def fetch_accounts(
    endpoint: Endpoint, addresses: Sequence[str]
) -> list[wire.WireAccount | None]:
    """Return accounts in the order asked for, None where there is none."""
    return list(await asyncio.gather(*(fetch_account(endpoint, one) for one in addresses)))


async def fetch_fees(endpoint: Endpoint) -> wire.WireFeeStats:
    """Return what was paid for fees lately."""
    status, raw = await endpoint.ask("fee_stats", "fee_stats")
    return wire.decode_fee_stats(expect_ok(status, raw))


async def fetch_account(endpoint: Endpoint, address: str) -> wire.WireAccount | None:
    """Return an account, None if there is none."""
    status, raw = await endpoint.ask("account", f"accounts/{address}")
    if status == 404 and wire.decode_problem(raw).type.endswith("not_found"):
        return None
    account = wire.decode_account(expect_ok(status, raw))
    if account.account_id != address:
        raise NodeUnavailable("the server answered with another account")
    return account


def next_sequence(account: wire.WireAccount) -> int:
    """Return the account's first unused sequence number."""
    sequence = to_number(account.sequence)
    if sequence >= 2**63 - 1:
        raise NodeUnavailable("no account has reached this sequence number")
    return sequence + 1


def first_sequence(account: wire.WireAccount) -> int:
    """Return what the account's first unused sequence number was when the account was made.

    Numbers begin at that ledger's own, times 2**32 (stellar-core, getStartingSequenceNumber).
    """
    return (to_number(account.sequence) >> 32 << 32) + 1


def judge(payment: Payment, sender: wire.WireAccount, facts: Facts) -> Kind:
    """Return how the payment is made, or refuse what the recipient's side would refuse."""
    if prepares_trustline(payment):
        judge_trustline(payment, sender, facts.issuer)
        return "change_trust"
    if facts.recipient is None:
        judge_new_account(payment, facts.ledger)
        return "create_account"
    name, required = MEMO_REQUIRED
    if payment.memo is None and facts.recipient.data.get(name) == required:
        raise PaymentRefused("memo_required", "the recipient takes no payment without memo")
    if payment.contract is not None:
        judge_token(payment, sender, facts.recipient)
    return "payment"


def judge_trustline(
    payment: Payment, sender: wire.WireAccount, issuer: wire.WireAccount | None
) -> None:
    """Refuse a trustline that is there or cannot be."""
    if is_issuer(payment.sender, payment.contract):
        raise PaymentRefused("recipient_is_issuer", "an issuer needs no trustline to itself")
    if line_of(sender, payment.contract) is not None:
        raise PaymentRefused("trustline_exists", "the account has this trustline")
    if issuer is None:
        raise PaymentRefused("issuer_missing", "the asset's issuer does not exist")


def judge_new_account(payment: Payment, ledger: wire.WireLedger) -> None:
    """Refuse to make an account of an asset, or with less than it must hold."""
    if payment.contract is not None:
        raise PaymentRefused("recipient_missing", "the recipient's account does not exist")
    reserve_minor = RESERVES_OF_AN_ACCOUNT * ledger.base_reserve_in_stroops
    if payment.amount_minor < reserve_minor:
        raise PaymentRefused(
            "below_reserve", f"a new account needs at least {reserve_minor} stroops"
        )


def judge_token(payment: Payment, sender: wire.WireAccount, recipient: wire.WireAccount) -> None:
    """Refuse what the recipient's or the sender's trustline does not allow."""
    if is_issuer(payment.recipient, payment.contract):
        raise PaymentRefused("recipient_is_issuer", "what its issuer receives is destroyed")
    if is_issuer(payment.sender, payment.contract):
        raise PaymentRefused("sender_is_issuer", "an issuer holds none of its asset but makes it")
    line = line_of(recipient, payment.contract)
    if line is None:
        raise PaymentRefused("no_trustline", "the recipient does not accept the asset")
    require_authorized(line, "recipient")
    room_minor = to_minor(line.limit or "0") - to_minor(line.balance)
    if payment.amount_minor > room_minor - to_minor(line.buying_liabilities) and (
        payment.sender != payment.recipient
    ):
        raise PaymentRefused("trustline_limit", "the recipient's limit for the asset is lower")
    own_line = line_of(sender, payment.contract)
    if own_line is not None:
        require_authorized(own_line, "sender")


def require_authorized(line: wire.WireBalance, whose: str) -> None:
    """Refuse a trustline that its issuer has not authorised, or no longer."""
    if line.is_authorized is False:
        raise PaymentRefused(
            "trustline_not_authorized", f"the issuer does not authorise the {whose}"
        )


def line_of(account: wire.WireAccount, contract: str | None) -> wire.WireBalance | None:
    """Return the balance of an asset, None if the account has no trustline for it."""
    code, _, issuer = (contract or "").partition(":")
    for line in account.balances:
        if contract is None and line.asset_type == "native":
            return line
        if contract is not None and (line.asset_code, line.asset_issuer) == (code, issuer):
            return line
    return None


def held_of(account: wire.WireAccount, contract: str | None, ledger: wire.WireLedger) -> int:
    """Return what can be spent: not what offers sell or what must stay in the account."""
    line = line_of(account, contract)
    if line is None:
        return 0
    held_minor = to_minor(line.balance) - to_minor(line.selling_liabilities)
    kept_minor = reserve_of(account, ledger) if contract is None else 0
    return max(0, held_minor - kept_minor)


def reserve_of(account: wire.WireAccount, ledger: wire.WireLedger) -> int:
    """Return the stroops that must stay in an account (CAP-33 for sponsorships)."""
    entries = RESERVES_OF_AN_ACCOUNT + account.subentry_count
    entries += account.num_sponsoring - account.num_sponsored
    return entries * ledger.base_reserve_in_stroops


def choose_fee(fees: wire.WireFeeStats, fee_minor_cap: int) -> int:
    """Return the bid for one operation; refuse if the cap would not do at the moment."""
    base_minor = max(1, to_number(fees.last_ledger_base_fee))
    needed_minor = max(base_minor, to_number(fees.fee_charged.mode))
    if needed_minor > fee_minor_cap:
        raise PaymentRefused(
            "fee_above_cap", f"the fee would be {needed_minor} stroops, over {fee_minor_cap}"
        )
    usual_minor = max(needed_minor, to_number(fees.fee_charged.p95))
    return min(FEE_FACTOR * usual_minor, fee_minor_cap)


def native_cost(payment: Payment, kind: Kind, ledger: wire.WireLedger) -> int:
    """Return the stroops that a payment takes or ties up beside its fee."""
    if kind == "change_trust":
        return ledger.base_reserve_in_stroops
    return payment.amount_minor if payment.contract is None else 0
