"""Building and signing TRON transactions. Pure: nothing here asks a node."""

from __future__ import annotations

from hashlib import sha256

import msgspec

from chain_adapters.secp256k1 import recover_key
from chain_adapters.tron.address import derive_address
from chain_adapters.tron.protobuf import (
    encode_call,
    encode_raw,
    encode_transaction,
    encode_transfer,
)
from chain_adapters.types import (
    Payment,
    PaymentRefused,
    Quote,
    SignedTransaction,
    UnsignedTransaction,
)

TRANSFER_SELECTOR = bytes.fromhex("a9059cbb")
"""First four bytes of keccak256("transfer(address,uint256)"), TIP-20."""


class Terms(msgspec.Struct, frozen=True):
    """What a transaction says beside the payment. The adapter's own part of a Quote.

    `ref_block_id` is the block that the chain must have. `timestamp_ms` and `expiration_ms` differ
    from quote to quote, and with them the ids of two payments that are otherwise alike.
    """

    ref_block_id: str
    timestamp_ms: int
    expiration_ms: int
    fee_limit_minor: int = 0
    """The most that a call may burn for energy, in sun; 0 where nothing is called."""


def encode_words(recipient: str, amount_minor: int) -> bytes:
    """Return the arguments of a TRC-20 transfer: the address is the 20 bytes behind 0x41."""
    return bytes.fromhex(recipient[2:]).rjust(32, b"\0") + amount_minor.to_bytes(32)


def encode_payment(payment: Payment, terms: Terms) -> bytes:
    """Return Transaction.raw of a payment."""
    sender = bytes.fromhex(payment.sender)
    if payment.contract is None:
        contract = encode_transfer(sender, bytes.fromhex(payment.recipient), payment.amount_minor)
    else:
        words = encode_words(payment.recipient, payment.amount_minor)
        token = bytes.fromhex(payment.contract)
        contract = encode_call(sender, token, TRANSFER_SELECTOR + words)
    block_id = bytes.fromhex(terms.ref_block_id)
    return encode_raw(
        (block_id[6:8], block_id[8:16]),
        terms.expiration_ms,
        contract,
        terms.timestamp_ms,
        terms.fee_limit_minor,
    )


def build(
    payment: Payment, quote: Quote, nonce: int | None, *, fee_minor_cap: int
) -> UnsignedTransaction:
    """Build the transaction. ValueError with a nonce, which TRON does not have.

    PaymentRefused("fee_above_cap") if its fee could exceed `fee_minor_cap`.
    """
    if nonce is not None:
        raise ValueError("a TRON transaction has no nonce")
    if quote.fee_minor_max > fee_minor_cap:
        raise PaymentRefused(
            "fee_above_cap", f"the fee could reach {quote.fee_minor_max} sun, over {fee_minor_cap}"
        )
    terms = msgspec.json.decode(quote.parameters, type=Terms)
    raw = encode_payment(payment, terms)
    return UnsignedTransaction(
        payment=payment,
        nonce=None,
        fee_minor_max=quote.fee_minor_max,
        signing_payloads=(sha256(raw).digest(),),
        body=raw,
        valid_until=terms.expiration_ms - 1,
    )


def recover_address(signature: bytes, payload: bytes) -> str:
    """Return the address whose key signed the payload. ValueError if no valid signature."""
    return derive_address(recover_key(signature, payload))


def assemble(unsigned: UnsignedTransaction, signatures: tuple[bytes, ...]) -> SignedTransaction:
    """Put the signature in. ValueError unless it is the sender's over this transaction."""
    if len(signatures) != 1:
        raise ValueError("a TRON transaction of ours has one signature")
    payload = sha256(unsigned.body).digest()
    if recover_address(signatures[0], payload) != unsigned.payment.sender:
        raise ValueError("the signature is not the sender's")
    return SignedTransaction(payload.hex(), encode_transaction(unsigned.body, signatures[0]))
