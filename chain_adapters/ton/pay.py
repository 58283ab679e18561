"""Building and signing payments of a wallet v4R2. Pure: nothing here asks a node.

A payment is an external message to the sender's wallet, which sends one internal message: native
money to the recipient, or a jetton transfer (TEP-74) to the sender's jetton wallet. Its number in
order is the wallet's seqno: only one of all that bear it can ever be accepted.
"""

from __future__ import annotations

from typing import Any

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from pytoniq_core import Address, Cell, begin_cell

from chain_adapters.ton import wallet
from chain_adapters.ton.constants import (
    COMMIT_S,
    EXPIRY_S,
    JETTON_ATTACHED_MINOR,
    JETTON_FORWARD_MINOR,
    JETTON_TRANSFER,
)
from chain_adapters.ton.marks import mark
from chain_adapters.types import (
    Payment,
    PaymentRefused,
    Quote,
    SignedTransaction,
    UnsignedTransaction,
)


class Terms(msgspec.Struct, frozen=True):
    """What a payment needs to know of the chain. The adapter's own part of a Quote.

    `time` is the masterchain's. `deploy`: the wallet is not there yet and comes along. `bounce`:
    the recipient is an account that can send money back. `jetton_wallet` is the sender's.
    """

    public_key: bytes
    number: int
    time: int
    deploy: bool
    bounce: bool
    jetton_wallet: str | None
    fee_minor_max: int


class Body(msgspec.Struct, frozen=True):
    """Everything that a transaction says. The adapter's own part of an UnsignedTransaction."""

    public_key: bytes
    number: int
    seqno: int
    expires: int
    deploy: bool
    message: bytes

    def order(self, signature: bytes = b"") -> Any:  # noqa: ANN401 - a cell of an untyped library
        """Return the order to the wallet; without a signature, what the sender signs."""
        message = Cell.one_from_boc(self.message)
        return wallet.order(self.number, self.expires, self.seqno, message, signature)


def build(
    payment: Payment,
    quote: Quote,
    nonce: int | None,
    replaces: UnsignedTransaction | None,
    *,
    fee_minor_cap: int,
) -> UnsignedTransaction:
    """Build the transaction. ValueError without a nonce, or if `replaces` is of another slot.

    A replacement expires later than what it replaces, and bids nothing: which of the two is
    accepted is chance as long as both can be. PaymentRefused("fee_above_cap") as everywhere.
    """
    if nonce is None:
        raise ValueError("a wallet's transaction needs a sequence number")
    terms = msgspec.json.decode(quote.parameters, type=Terms)
    expires = terms.time + EXPIRY_S
    if replaces is not None:
        if (replaces.nonce, replaces.payment.sender) != (nonce, payment.sender):
            raise ValueError("a replacement has the sender and the nonce of what it replaces")
        expires = max(expires, msgspec.json.decode(replaces.body, type=Body).expires + 1)
    if terms.fee_minor_max > fee_minor_cap:
        raise PaymentRefused(
            "fee_above_cap",
            f"the fee could reach {terms.fee_minor_max} nanotons, over {fee_minor_cap}",
        )
    message = message_of(payment, terms, expires).to_boc()
    body = Body(terms.public_key, terms.number, nonce, expires, terms.deploy, message)
    return UnsignedTransaction(
        payment=payment,
        nonce=nonce,
        fee_minor_max=terms.fee_minor_max,
        signing_payloads=(body.order().hash,),
        body=msgspec.json.encode(body),
        valid_until=expires + COMMIT_S,
    )


def message_of(payment: Payment, terms: Terms, expires: int) -> Cell:
    """Return the message that the wallet is to send."""
    if terms.jetton_wallet is None:
        comment = comment_of(payment.memo)
        return wallet.internal_message(
            payment.recipient, payment.amount_minor, comment, bounce=terms.bounce
        )
    transfer = jetton_transfer(payment, mark(payment.sender, expires))
    return wallet.internal_message(
        terms.jetton_wallet, JETTON_ATTACHED_MINOR, transfer, bounce=True
    )


def jetton_transfer(payment: Payment, query_id: int) -> Cell:
    """Return the order to a jetton wallet (TEP-74, transfer). What is left over comes back."""
    builder = (
        begin_cell()
        .store_uint(JETTON_TRANSFER, 32)
        .store_uint(query_id, 64)
        .store_coins(payment.amount_minor)
        .store_address(Address(payment.recipient))
        .store_address(Address(payment.sender))
        .store_bit(0)
        .store_coins(JETTON_FORWARD_MINOR)
    )
    comment = comment_of(payment.memo)
    if comment is None:
        return builder.store_bit(0).end_cell()
    return builder.store_bit(1).store_ref(comment).end_cell()


def comment_of(memo: str | None) -> Cell | None:
    """Return the comment that a canonical memo stands for."""
    return None if memo is None else wallet.comment_cell(memo.removeprefix("text:"))


def assemble(unsigned: UnsignedTransaction, signatures: tuple[bytes, ...]) -> SignedTransaction:
    """Put the signature in. ValueError unless it is the sender's over this transaction."""
    if len(signatures) != 1:
        raise ValueError("a transaction of TON has one signature")
    body = msgspec.json.decode(unsigned.body, type=Body)
    check_signature(body.public_key, signatures[0], body.order().hash)
    sender = unsigned.payment.sender
    if wallet.wallet_address(body.public_key, body.number) != sender:
        raise ValueError("the signature's key is not that of the sender's wallet")
    order = body.order(signatures[0])
    init = None
    if body.deploy:
        data = wallet.initial_data(body.public_key, body.number)
        init = wallet.state_init(wallet.CODE, data)
    raw = wallet.external_message(sender, order, init).to_boc()
    return SignedTransaction(wallet.normalised_id(sender, order), raw)


def check_signature(public_key: bytes, signature: bytes, payload: bytes) -> None:
    """Raise ValueError unless it is the key's signature over the payload (RFC 8032)."""
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, payload)
    except InvalidSignature:
        raise ValueError("the signature is not the sender's") from None
