"""The words in which every chain is read and written.

Amounts are integers of the asset's minor unit (wei, satoshi, lamport, …). Addresses are in the
chain's one canonical form, as `parse_address` returns it. Everything here is immutable.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec


class Transfer(msgspec.Struct, frozen=True, gc=False):
    """One movement of one asset to one address inside one transaction.

    `index` tells the transfers of one transaction apart and does not depend on the block that
    carries the transaction, so that (network, transaction id, index) is the same after a
    reorganisation. Its form is the chain's own ("value", "call:3", "log:0", "out:1").
    `contract` names the token, None means the chain's native asset.
    """

    index: str
    sender: str | None
    address: str
    contract: str | None
    amount_minor: int
    memo: str | None = None


class Transaction(msgspec.Struct, frozen=True, gc=False):
    """One transaction of a block: who paid which fee, whether it took effect, what it moved.

    A transaction that did not succeed has no transfers; its fee is paid all the same.
    `fee_minor` is in the native asset and was paid by `payer`.
    """

    id: str
    payer: str | None
    succeeded: bool
    fee_minor: int
    transfers: tuple[Transfer, ...] = ()


class Block(msgspec.Struct, frozen=True):
    """One block as read from a node, in the order of its transactions. `time` is Unix seconds."""

    height: int
    block_id: str
    parent_id: str
    time: int
    transactions: tuple[Transaction, ...]


class Tip(msgspec.Struct, frozen=True):
    """The best block of a node.

    `safe_height` and `finalized_height` are what the chain itself calls so, None where it has no
    such notion or the node does not tell.
    """

    height: int
    block_id: str
    safe_height: int | None = None
    finalized_height: int | None = None


class Payment(msgspec.Struct, frozen=True):
    """An order to move `amount_minor` of one asset from one address of ours to another address."""

    sender: str
    recipient: str
    contract: str | None
    amount_minor: int
    memo: str | None = None


class Quote(msgspec.Struct, frozen=True):
    """What a payment would cost now, and what its transaction needs to know of the chain.

    `fee_minor_max` bounds the fee in the native asset. `next_nonce` is the first sequence number
    of the sender that the chain has not used, None where the chain has none. `parameters` is the
    adapter's own (gas price, gas limit, …), opaque to everyone else. `held_minor` and
    `held_native_minor` are what the sender has of the asset and of the native one in the node's
    latest block: payments that are not in a block yet are not taken off.
    """

    fee_minor_max: int
    next_nonce: int | None
    parameters: bytes
    held_minor: int
    held_native_minor: int


class UnsignedTransaction(msgspec.Struct, frozen=True):
    """A transaction ready to be signed: `signing_payloads` in order, each signed by the sender.

    `body` is the adapter's own and opaque.
    """

    payment: Payment
    nonce: int | None
    fee_minor_max: int
    signing_payloads: tuple[bytes, ...]
    body: bytes


class SignedTransaction(msgspec.Struct, frozen=True):
    """Final bytes and the id under which the chain will show them."""

    transaction_id: str
    raw: bytes


class BroadcastOutcome(StrEnum):
    """What a node said of signed bytes. A time-out is no outcome: it raises NodeUnavailable."""

    ACCEPTED = "accepted"
    """In the node's pool, or already known, or already in a block."""
    REFUSED = "refused"
    """The node will not take these bytes now (no money for gas, fee too low, …)."""
    NONCE_USED = "nonce_used"
    """Another transaction of the sender with the same nonce is in a block already."""


class Broadcast(msgspec.Struct, frozen=True):
    """Outcome of one broadcast, with the node's own words."""

    outcome: BroadcastOutcome
    detail: str = ""


class Curve(StrEnum):
    """Signature scheme of a chain's keys."""

    SECP256K1 = "secp256k1"
    ED25519 = "ed25519"


class AdapterError(Exception):
    """Base of all that an adapter raises on purpose."""


class NodeUnavailable(AdapterError):
    """No node gave a usable answer: time-out, refused connection, truncated or lying response.

    Nothing is known about the chain or about a broadcast; the caller retries.
    """


class WrongNetwork(AdapterError):
    """A node serves another network than the configured one. Not retried."""


class InvalidAddress(AdapterError):
    """A text is no address of this network; the message says what was expected."""


class PaymentRefused(AdapterError):
    """The chain would refuse or lose this payment; found out before any money moved.

    `reason` is machine-readable and stable, e.g. "recipient_reverts".
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
