"""Building and signing Ethereum transactions. Pure: nothing here asks a node.

Two forms are made: type 2 (EIP-1559) and, where the chain has no base fee, type 0 with the chain
id in the signature (EIP-155).
"""

from __future__ import annotations

from typing import Any

import msgspec
import rlp  # type: ignore[import-untyped]
from eth_utils.crypto import keccak

from chain_adapters.ethereum.address import derive_address
from chain_adapters.secp256k1 import recover_key
from chain_adapters.types import (
    Payment,
    PaymentRefused,
    Quote,
    SignedTransaction,
    UnsignedTransaction,
)

TRANSFER_SELECTOR = bytes.fromhex("a9059cbb")
"""First four bytes of keccak256("transfer(address,uint256)"), EIP-20."""


class Bid(msgspec.Struct, frozen=True):
    """What is offered for gas. The adapter's own part of a Quote.

    Prices are in wei per unit of gas. Without a base fee (`legacy`) both are the gas price.
    """

    gas_limit: int
    price_minor_max: int
    tip_minor: int
    legacy: bool = False

    @property
    def fee_minor_max(self) -> int:
        """The most that the transaction can cost for gas, in wei."""
        return self.gas_limit * self.price_minor_max


class Body(msgspec.Struct, frozen=True):
    """Everything that a transaction says. The adapter's own part of an UnsignedTransaction."""

    chain_id: int
    nonce: int
    to: str
    value: int
    data: bytes
    bid: Bid


def encode_transfer(recipient: str, amount_minor: int) -> bytes:
    """Return the call data of an ERC-20 transfer."""
    return (
        TRANSFER_SELECTOR
        + bytes.fromhex(recipient[2:]).rjust(32, b"\0")
        + amount_minor.to_bytes(32)
    )


def call_of(payment: Payment) -> tuple[str, int, bytes]:
    """Return recipient, wei and call data of the transaction that makes a payment."""
    if payment.contract is None:
        return payment.recipient, payment.amount_minor, b""
    return payment.contract, 0, encode_transfer(payment.recipient, payment.amount_minor)


def raise_bid(bid: Bid, previous: Bid, fee_minor_cap: int) -> Bid:
    """Return a bid that replaces `previous`, and is not below the fresh one as far as the cap goes.

    Nodes ask for at least 10 % more of both the price and the tip (geth's txpool.pricebump, and
    the same elsewhere); 12.5 % is bid, rounded up. The gas limit never falls: the fresh one may be
    that of another payment, quoted for its price.
    """
    gas_limit = max(bid.gas_limit, previous.gas_limit)
    price = min(bid.price_minor_max, fee_minor_cap // gas_limit)
    return msgspec.structs.replace(
        bid,
        gas_limit=gas_limit,
        price_minor_max=max(price, -(-previous.price_minor_max * 9 // 8)),
        tip_minor=max(bid.tip_minor, -(-previous.tip_minor * 9 // 8)),
    )


def build(
    payment: Payment,
    quote: Quote,
    nonce: int | None,
    replaces: UnsignedTransaction | None,
    *,
    chain_id: int,
    fee_minor_cap: int,
) -> UnsignedTransaction:
    """Build the transaction. ValueError without a nonce, or if `replaces` is another sender's.

    PaymentRefused("fee_above_cap") if its fee could exceed `fee_minor_cap`.
    """
    if nonce is None:
        raise ValueError("an Ethereum transaction needs a nonce")
    bid = msgspec.json.decode(quote.parameters, type=Bid)
    if replaces is not None:
        if (replaces.nonce, replaces.payment.sender) != (nonce, payment.sender):
            raise ValueError("a replacement has the sender and the nonce of what it replaces")
        previous = msgspec.json.decode(replaces.body, type=Body).bid
        bid = raise_bid(bid, previous, fee_minor_cap)
    if bid.legacy:
        bid = level_bid(bid)
    bid = msgspec.structs.replace(bid, price_minor_max=max(bid.price_minor_max, bid.tip_minor))
    if bid.fee_minor_max > fee_minor_cap:
        raise PaymentRefused(
            "fee_above_cap", f"the fee could reach {bid.fee_minor_max} wei, over {fee_minor_cap}"
        )
    body = Body(chain_id, nonce, *call_of(payment), bid)
    return UnsignedTransaction(
        payment=payment,
        nonce=nonce,
        fee_minor_max=bid.fee_minor_max,
        signing_payloads=(keccak(encode_unsigned(body)),),
        body=msgspec.json.encode(body),
    )


def level_bid(bid: Bid) -> Bid:
    """Return a bid whose tip is its price, as a type 0 transaction has only the one."""
    price = max(bid.price_minor_max, bid.tip_minor)
    return msgspec.structs.replace(bid, price_minor_max=price, tip_minor=price)


def _fields(body: Body) -> list[Any]:
    """The part that is the same in signed and unsigned form."""
    to = bytes.fromhex(body.to[2:])
    bid = body.bid
    if bid.legacy:
        return [body.nonce, bid.price_minor_max, bid.gas_limit, to, body.value, body.data]
    prices = [bid.tip_minor, bid.price_minor_max, bid.gas_limit]
    return [body.chain_id, body.nonce, *prices, to, body.value, body.data, []]


def encode_unsigned(body: Body) -> bytes:
    """Return what is hashed and signed (EIP-155, EIP-1559)."""
    if body.bid.legacy:
        return bytes(rlp.encode([*_fields(body), body.chain_id, 0, 0]))
    return b"\x02" + bytes(rlp.encode(_fields(body)))


def encode_signed(body: Body, signature: bytes) -> bytes:
    """Return the final bytes for a signature of 65 bytes r‖s‖v with v 0 or 1."""
    r, s = int.from_bytes(signature[:32]), int.from_bytes(signature[32:64])
    parity = signature[64]
    if body.bid.legacy:
        return bytes(rlp.encode([*_fields(body), body.chain_id * 2 + 35 + parity, r, s]))
    return b"\x02" + bytes(rlp.encode([*_fields(body), parity, r, s]))


def recover_address(signature: bytes, payload: bytes) -> str:
    """Return the address whose key signed the payload. ValueError if no valid signature."""
    return derive_address(recover_key(signature, payload))


def assemble(unsigned: UnsignedTransaction, signatures: tuple[bytes, ...]) -> SignedTransaction:
    """Put the signature in. ValueError unless it is the sender's over this transaction."""
    if len(signatures) != 1:
        raise ValueError("an Ethereum transaction has one signature")
    body = msgspec.json.decode(unsigned.body, type=Body)
    payload = keccak(encode_unsigned(body))
    if recover_address(signatures[0], payload) != unsigned.payment.sender:
        raise ValueError("the signature is not the sender's")
    raw = encode_signed(body, signatures[0])
    return SignedTransaction("0x" + keccak(raw).hex(), raw)
