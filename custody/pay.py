"""From a payment to signed bytes: build, sign, put together. No database and no node."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from typing import NamedTuple

import msgspec

from chain_adapters.adapter import ChainPayer
from chain_adapters.types import Coin, Payment, PaymentRefused, Quote, UnsignedTransaction
from custody.errors import CustodyError
from custody.signer import Signer
from sql.attempts import Attempt
from sql.transactions import NewTransaction, PaymentRow
from sql.wallets import NonceRow

TRANSIENT_REFUSALS = frozenset({"sender_lacks_funds", "fee_above_cap", "token_missing"})
"""What a chain refuses now and may take later: the order waits. All else is given up.

That a token is missing, which an operator has configured, is what a node says that has only begun
to read the chain: it would fail every order of that token."""

_decode_unsigned = msgspec.json.Decoder(UnsignedTransaction).decode


class Priced(NamedTuple):
    """A payment, and what it would cost now or why it cannot be made."""

    row: PaymentRow
    quote: Quote | None = None
    refusal: PaymentRefused | None = None

    @property
    def is_hopeless(self) -> bool:
        """Whether the payment can never be made."""
        return self.refusal is not None and self.refusal.reason not in TRANSIENT_REFUSALS


class Ready(NamedTuple):
    """A payment that can be signed now."""

    row: PaymentRow
    quote: Quote
    sender: str
    key_path: str

    @property
    def is_unguarded(self) -> bool:
        """Whether its chain has neither nonces nor coins: a second transaction lands as well."""
        return self.quote.next_nonce is None and self.quote.held_native_minor is not None


class ForeignUse(NamedTuple):
    """A wallet whose chain has used nonces that we never gave out."""

    sender: str
    chain_nonce: int
    our_nonce: int

    @property
    def reason(self) -> str:
        """Why the wallet is halted."""
        return f"the chain expects nonce {self.chain_nonce}, we gave out {self.our_nonce}"


def ready_payments(priced: Sequence[Priced], approved: frozenset[int]) -> list[Ready]:
    """Return those that have a quote and a wallet and are still approved, by withdrawal id."""
    return [
        Ready(row, quote, row.sender, row.key_path)
        for row, quote, _ in sorted(priced, key=lambda one: one.row.withdrawal_id)
        if quote is not None
        and row.sender is not None
        and row.key_path is not None
        and row.withdrawal_id in approved
    ]


class Purse(NamedTuple):
    """What a wallet has to tell its next transactions apart: a nonce, coins, or neither."""

    nonce: int | None
    coins: list[Coin]


class Shortage(NamedTuple):
    """A payment that its wallet cannot make beside those promised already.

    `needed_minor` is what the wallet would have to hold of `contract` (None: the native asset).
    """

    payment: Ready
    contract: str | None
    held_minor: int
    needed_minor: int


Promised = Mapping[tuple[str, str | None], int]
"""By (sender, contract) what signed payments may still take; no contract is the native asset."""


def within_means(
    payments: Sequence[Ready], promised: Promised
) -> tuple[list[Ready], list[Shortage]]:
    """Split payments into those that their wallets can make, in order, and those they cannot.

    A node judges each payment by itself. Several at once would be sent and, if tokens are short,
    mined without effect at our expense. A payment that the node's balance shows already and our
    blocks do not counts twice: that only delays.
    """
    spent = dict(promised)
    ready: list[Ready] = []
    short: list[Shortage] = []
    for payment in payments:
        needs = _needs(payment)
        total = {contract: spent.get((payment.sender, contract), 0) + n for contract, n in needs}
        lacking = _first_lacking(payment, total)
        if lacking is not None:
            short.append(lacking)
            continue
        ready.append(payment)
        spent |= {(payment.sender, contract): needed for contract, needed in total.items()}
    return ready, short


def require_means(payment: Ready, fee_minor_max: int) -> None:
    """Raise PaymentRefused if the wallet held less than the payment's native money and this fee.

    For a fee that is above the quoted one. Where money is held as coins, see _first_lacking.
    """
    amount_minor = payment.row.amount_minor if payment.row.contract is None else 0
    held_minor = payment.quote.held_native_minor
    if held_minor is not None and held_minor < amount_minor + fee_minor_max:
        raise PaymentRefused("sender_lacks_funds", "the sender cannot pay the fee")


def _first_lacking(payment: Ready, total: Mapping[str | None, int]) -> Shortage | None:
    """Where money is held as coins, building the transaction tells, not this."""
    held = {
        payment.row.contract: payment.quote.held_minor,
        None: payment.quote.held_native_minor,
    }
    for contract, needed_minor in total.items():
        held_minor = held[contract]
        if held_minor is not None and needed_minor > held_minor:
            return Shortage(payment, contract, held_minor, needed_minor)
    return None


def leave_room(
    payments: Sequence[Ready], in_flight: Mapping[str, int], in_flight_max: int
) -> list[Ready]:
    """Return those that may be sent beside what waits for a block already, in order. Pure."""
    sent = dict(in_flight)
    taken: list[Ready] = []
    for payment in payments:
        if sent.get(payment.sender, 0) < in_flight_max:
            sent[payment.sender] = sent.get(payment.sender, 0) + 1
            taken.append(payment)
    return taken


def _needs(payment: Ready) -> list[tuple[str | None, int]]:
    """What a payment takes, by contract: its amount, and the fee in the native asset."""
    amount_minor, fee_minor = payment.row.amount_minor, payment.quote.fee_minor_max
    if payment.row.contract is None:
        return [(None, amount_minor + fee_minor)]
    return [(payment.row.contract, amount_minor), (None, fee_minor)]


def chain_nonces(payments: Sequence[Ready]) -> dict[str, int | None]:
    """Return each sender's next nonce as the chain said last; None on chains without nonces."""
    nonces: dict[str, int | None] = {}
    for payment in payments:
        told, before = payment.quote.next_nonce, nonces.get(payment.sender)
        nonces[payment.sender] = told if told is None else max(told, before or 0)
    return nonces


def first_nonces(payments: Sequence[Ready]) -> dict[str, int | None]:
    """Return the nonce of each sender's very first payment; None on chains without nonces."""
    return {payment.sender: payment.quote.first_nonce for payment in payments}


def find_foreign_use(
    chain: Mapping[str, int | None], ours: Mapping[str, NonceRow]
) -> list[ForeignUse]:
    """Return wallets whose chain is ahead of us: somebody else signs with their keys."""
    found = []
    for sender, chain_nonce in chain.items():
        expected = ours[sender].next_nonce
        if chain_nonce is not None and expected is not None and chain_nonce > expected:
            found.append(ForeignUse(sender, chain_nonce, expected))
    return found


def usable_nonce(chain_nonce: int | None, ours: NonceRow, final_clock: int | None) -> int | None:
    """Return the nonce of a wallet's next payment if none of its payments waits. Pure.

    The chain must expect just that. If it is behind, a preparation of the wallet took the nonce:
    None until that is in a block, or can be in none up to `final_clock`.
    """
    if chain_nonce is None or ours.next_nonce is None:
        raise ValueError("the chain has no nonces")
    if chain_nonce >= ours.next_nonce:
        return ours.next_nonce
    given_back = (
        chain_nonce == ours.prepared_nonce == ours.next_nonce - 1
        and ours.prepared_until is not None
        and final_clock is not None
        and ours.prepared_until < final_clock
    )
    return chain_nonce if given_back else None


def sign_in_order(
    payer: ChainPayer, signer: Signer, payments: Sequence[Ready], purses: dict[str, Purse]
) -> tuple[list[NewTransaction], list[tuple[Ready, Exception]]]:
    """Sign payments with the nonces and coins of `purses`, which are moved on.

    A payment that cannot be signed takes nothing and holds up no other; it is returned with the
    error.
    """
    signed: list[NewTransaction] = []
    failed: list[tuple[Ready, Exception]] = []
    for payment in payments:
        purse = purses[payment.sender]
        try:
            transaction = sign_payment(payer, signer, payment, purse)
        except (PaymentRefused, CustodyError, ValueError) as error:
            failed.append((payment, error))
            continue
        signed.append(transaction)
        purses[payment.sender] = _after(purse, transaction)
    return signed, failed


def without_twins(signed: Sequence[NewTransaction], known: Set[str]) -> list[NewTransaction]:
    """Return the transactions that are no other payment's too: neither `known` nor repeated.

    Two payments that are alike in everything would be one transaction, and one of them never made.
    Nonces and coins keep them apart; without either (Solana, TRON) what the adapter draws for each
    quote does, which is likely and not certain. Pure.
    """
    first = {one.transaction_id: one.withdrawal_id for one in reversed(signed)}
    return [
        one
        for one in signed
        if one.transaction_id not in known and first[one.transaction_id] == one.withdrawal_id
    ]


def _after(purse: Purse, transaction: NewTransaction) -> Purse:
    nonce = None if purse.nonce is None else purse.nonce + 1
    return Purse(nonce, [coin for coin in purse.coins if coin.id not in transaction.coins])


def sign_payment(
    payer: ChainPayer,
    signer: Signer,
    payment: Ready,
    purse: Purse,
    replaces: Attempt | None = None,
) -> NewTransaction:
    """Build and sign one transaction, in the place of `replaces` if given.

    Raises PaymentRefused if its fee would be above the network's limit, or its coins are not
    enough.
    """
    previous = None if replaces is None else _decode_unsigned(replaces.unsigned)
    unsigned = payer.build(
        payment_of(payment.row),
        payment.quote,
        purse.nonce,
        coins=purse.coins,
        replaces=previous,
    )
    signatures = tuple(
        signer.sign(payment.key_path, payload, payer.key_scheme)
        for payload in unsigned.signing_payloads
    )
    signed = payer.assemble(unsigned, signatures)
    return NewTransaction(
        transaction_id=signed.transaction_id,
        withdrawal_id=payment.row.withdrawal_id,
        sender=payment.sender,
        nonce=purse.nonce,
        coin=next(iter((previous or unsigned).coins), None),
        coins=unsigned.coins,
        valid_until=unsigned.valid_until,
        attempt=0 if replaces is None else replaces.attempt + 1,
        unsigned=msgspec.json.encode(unsigned),
        raw=signed.raw,
        fee_minor_max=unsigned.fee_minor_max,
    )


def payment_of(row: PaymentRow) -> Payment:
    """Return the payment in the adapters' words. The row must have a sender."""
    if row.sender is None:
        raise ValueError(f"withdrawal {row.withdrawal_id} has no wallet to be paid from")
    return Payment(row.sender, row.address, row.contract, row.amount_minor, row.memo)
