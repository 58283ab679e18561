"""From a payment to signed bytes: build, sign, put together. No database and no node."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec

from chain_adapters.adapter import ChainPayer
from chain_adapters.types import Payment, PaymentRefused, Quote, UnsignedTransaction
from custody.errors import CustodyError
from custody.signer import Signer
from sql.transactions import Attempt, NewTransaction, NonceRow, PaymentRow

TRANSIENT_REFUSALS = frozenset({"sender_lacks_funds", "fee_above_cap"})
"""What a chain refuses now and may take later: the order waits. All else is given up."""

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


class ForeignUse(NamedTuple):
    """A wallet whose chain has used nonces that we never gave out."""

    sender: str
    chain_nonce: int
    our_nonce: int


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
        held = {
            payment.row.contract: payment.quote.held_minor,
            None: payment.quote.held_native_minor,
        }
        lacking = [contract for contract, needed in total.items() if needed > held[contract]]
        if lacking:
            contract = lacking[0]
            short.append(Shortage(payment, contract, held[contract], total[contract]))
            continue
        ready.append(payment)
        spent |= {(payment.sender, contract): needed for contract, needed in total.items()}
    return ready, short


def _needs(payment: Ready) -> list[tuple[str | None, int]]:
    """What a payment takes, by contract: its amount, and the fee in the native asset."""
    amount_minor, fee_minor = payment.row.amount_minor, payment.quote.fee_minor_max
    if payment.row.contract is None:
        return [(None, amount_minor + fee_minor)]
    return [(payment.row.contract, amount_minor), (None, fee_minor)]


def chain_nonces(payments: Sequence[Ready]) -> dict[str, int]:
    """Return each sender's next nonce as the chain said last; none for chains without nonces."""
    nonces: dict[str, int] = {}
    for payment in payments:
        if payment.quote.next_nonce is not None:
            sender = payment.sender
            nonces[sender] = max(payment.quote.next_nonce, nonces.get(sender, 0))
    return nonces


def find_foreign_use(chain: Mapping[str, int], ours: Mapping[str, NonceRow]) -> list[ForeignUse]:
    """Return wallets whose chain is ahead of us: somebody else signs with their keys."""
    return [
        ForeignUse(sender, nonce, ours[sender].next_nonce)
        for sender, nonce in chain.items()
        if nonce > ours[sender].next_nonce
    ]


def sign_in_order(
    payer: ChainPayer, signer: Signer, payments: Sequence[Ready], counters: dict[str, int]
) -> tuple[list[NewTransaction], list[tuple[Ready, Exception]]]:
    """Sign payments with the nonces that follow `counters`, which are moved on.

    A payment that cannot be signed takes no nonce and holds up no other; it is returned with the
    error.
    """
    signed: list[NewTransaction] = []
    failed: list[tuple[Ready, Exception]] = []
    for payment in payments:
        nonce = counters.get(payment.sender)
        try:
            transaction = sign_payment(payer, signer, payment, nonce)
        except (PaymentRefused, CustodyError, ValueError) as error:
            failed.append((payment, error))
            continue
        signed.append(transaction)
        if nonce is not None:
            counters[payment.sender] = nonce + 1
    return signed, failed


def sign_payment(
    payer: ChainPayer,
    signer: Signer,
    payment: Ready,
    nonce: int | None,
    replaces: Attempt | None = None,
) -> NewTransaction:
    """Build and sign one transaction, in the place of `replaces` if given.

    Raises PaymentRefused if its fee would be above the network's limit.
    """
    previous = None if replaces is None else _decode_unsigned(replaces.unsigned)
    unsigned = payer.build(payment_of(payment.row), payment.quote, nonce, replaces=previous)
    signatures = tuple(
        signer.sign(payment.key_path, payload, payer.key_scheme) for payload in unsigned.signing_payloads
    )
    signed = payer.assemble(unsigned, signatures)
    return NewTransaction(
        transaction_id=signed.transaction_id,
        withdrawal_id=payment.row.withdrawal_id,
        sender=payment.sender,
        nonce=nonce,
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
