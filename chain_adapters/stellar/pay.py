"""Building and signing Stellar transactions. Pure: nothing here asks a server.

Each transaction has one operation: a payment, the creation of the recipient's account, or, for a
payment of nothing to oneself, the trustline that lets an address of ours receive an asset. All
have an upper time bound, so that it is known when they can no longer be applied.
"""

from __future__ import annotations

from base64 import b64decode
from typing import Literal

import msgspec
from stellar_sdk import (
    Asset,
    ChangeTrust,
    CreateAccount,
    HashMemo,
    IdMemo,
    Keypair,
    NoneMemo,
    Preconditions,
    ReturnHashMemo,
    TextMemo,
    TimeBounds,
    Transaction,
    TransactionEnvelope,
)
from stellar_sdk import Payment as PaymentOperation
from stellar_sdk.decorated_signature import DecoratedSignature
from stellar_sdk.exceptions import BadSignatureError
from stellar_sdk.memo import Memo
from stellar_sdk.operation import Operation

from chain_adapters.stellar.amounts import from_minor
from chain_adapters.stellar.network import AMOUNT_MINOR_MAX
from chain_adapters.types import (
    Coin,
    Payment,
    PaymentRefused,
    Quote,
    SignedTransaction,
    UnsignedTransaction,
)

Kind = Literal["payment", "create_account", "change_trust"]


class Terms(msgspec.Struct, frozen=True):
    """How a payment is made. The adapter's own part of a Quote.

    `fee_minor` is bid for the one operation; less is charged unless ledgers are full.
    `valid_until` is the last close time, in Unix seconds, of a ledger that may have it.
    """

    kind: Kind
    fee_minor: int
    valid_until: int | None


class Body(msgspec.Struct, frozen=True):
    """Everything that a transaction says. The adapter's own part of an UnsignedTransaction."""

    payment: Payment
    sequence: int
    terms: Terms


def prepares_trustline(payment: Payment) -> bool:
    """Whether a payment stands for the trustline of its sender: nothing of an asset to itself."""
    return (
        payment.amount_minor == 0
        and payment.contract is not None
        and payment.sender == payment.recipient
    )


def build(
    payment: Payment,
    quote: Quote,
    nonce: int | None,
    coins: tuple[Coin, ...],
    replaces: UnsignedTransaction | None,
    *,
    passphrase: str,
    fee_minor_cap: int,
) -> UnsignedTransaction:
    """Build the transaction; its nonce is its sequence number.

    A replacement bids twice as much as the one before, as far as the cap allows: that one has
    expired, as core keeps only one transaction of an account waiting and outbids none of it.
    ValueError without a nonce, with coins, or if `replaces` is another sender's or nonce's.
    PaymentRefused("fee_above_cap") if the quoted fee is over the cap.
    """
    if nonce is None or coins:
        raise ValueError("a Stellar transaction needs a nonce and takes no coins")
    terms = msgspec.json.decode(quote.parameters, type=Terms)
    if replaces is not None:
        if (replaces.nonce, replaces.payment.sender) != (nonce, payment.sender):
            raise ValueError("a replacement has the sender and the nonce of what it replaces")
        raised = min(2 * replaces.fee_minor_max, fee_minor_cap)
        terms = msgspec.structs.replace(terms, fee_minor=max(terms.fee_minor, raised))
    if terms.fee_minor > fee_minor_cap:
        raise PaymentRefused(
            "fee_above_cap", f"the fee could reach {terms.fee_minor} stroops, over {fee_minor_cap}"
        )
    body = Body(payment, nonce, terms)
    return UnsignedTransaction(
        payment=payment,
        nonce=nonce,
        fee_minor_max=terms.fee_minor,
        signing_payloads=(make_envelope(body, passphrase).hash(),),
        body=msgspec.json.encode(body),
        valid_until=terms.valid_until,
    )


def make_envelope(body: Body, passphrase: str) -> TransactionEnvelope:
    """Return the envelope without signatures. Its hash is what is signed and the transaction's id.

    CAP-15: SHA-256 of the network's id, the envelope's type and the transaction.
    """
    bounds = body.terms.valid_until
    transaction = Transaction(
        source=body.payment.sender,
        sequence=body.sequence,
        fee=body.terms.fee_minor,
        operations=[make_operation(body)],
        memo=make_memo(body.payment.memo),
        preconditions=None if bounds is None else Preconditions(TimeBounds(0, bounds)),
    )
    return TransactionEnvelope(transaction, passphrase)


def make_operation(body: Body) -> Operation:
    """Return the one operation."""
    payment, kind = body.payment, body.terms.kind
    if kind == "change_trust":
        return ChangeTrust(make_asset(payment.contract), from_minor(AMOUNT_MINOR_MAX))
    amount = from_minor(payment.amount_minor)
    if kind == "create_account":
        return CreateAccount(payment.recipient, amount)
    return PaymentOperation(payment.recipient, make_asset(payment.contract), amount)


def make_asset(contract: str | None) -> Asset:
    """Return the asset that a contract names."""
    if contract is None:
        return Asset.native()
    code, _, issuer = contract.partition(":")
    return Asset(code, issuer)


def make_memo(memo: str | None) -> Memo:
    """Return the memo that a canonical text says. ValueError if it is none."""
    if memo is None:
        return NoneMemo()
    kind, _, value = memo.partition(":")
    if kind == "id":
        return IdMemo(int(value))
    if kind == "text":
        return TextMemo(value)
    if kind == "hash":
        return HashMemo(bytes.fromhex(value))
    if kind == "return":
        return ReturnHashMemo(bytes.fromhex(value))
    raise ValueError("a memo has a type: id, text, hash or return")


def assemble(
    unsigned: UnsignedTransaction, signatures: tuple[bytes, ...], *, passphrase: str
) -> SignedTransaction:
    """Put the signature in. ValueError unless it is the sender's over this transaction."""
    if len(signatures) != 1:
        raise ValueError("a Stellar transaction of ours has one signature")
    body = msgspec.json.decode(unsigned.body, type=Body)
    envelope = make_envelope(body, passphrase)
    key = Keypair.from_public_key(body.payment.sender)
    try:
        key.verify(envelope.hash(), signatures[0])
    except (BadSignatureError, ValueError):
        raise ValueError("the signature is not the sender's") from None
    envelope.signatures.append(DecoratedSignature(key.signature_hint(), signatures[0]))
    return SignedTransaction(envelope.hash_hex(), b64decode(envelope.to_xdr()))
