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
    reorganisation. Its form is the chain's own ("value", "call:3", "log:0", "out:1"); where money
    is held as coins it is "out:N", and the coin's id is "transaction id:N".
    `contract` names the token, None means the chain's native asset. `memo` is in the canonical
    form of `parse_destination`. `depth_min` is the number of confirmations it needs whatever the
    policy says (Bitcoin: an output of a coinbase transaction can be spent after 100).
    """

    index: str
    sender: str | None
    address: str
    contract: str | None
    amount_minor: int
    memo: str | None = None
    depth_min: int = 1


class Transaction(msgspec.Struct, frozen=True, gc=False):
    """One transaction of a block: who paid which fee, whether it took effect, what it moved.

    A transaction that did not succeed has no transfers; its fee is paid all the same.
    `fee_minor` is all that `payer` lost of the native asset beside its transfers: fee, gas, rent,
    burned energy; negative if it gained some (TON: what was too much for gas comes back). None: the
    node does not tell, and only the one who made it knows.
    `returns` is the id of an earlier transaction whose money this one brings back: that one
    succeeded, and yet its payment did not arrive (TON: a message that bounced).
    """

    id: str
    payer: str | None
    succeeded: bool
    fee_minor: int | None
    transfers: tuple[Transfer, ...] = ()
    returns: str | None = None


class Block(msgspec.Struct, frozen=True):
    """One block as read from a node, in the order of its transactions. `time` is Unix seconds.

    `clock` is what the chain measures by when its transactions expire (Unix seconds, a height, …)
    and never goes back from parent to child; 0 where nothing expires.
    """

    height: int
    block_id: str
    parent_id: str
    time: int
    transactions: tuple[Transaction, ...]
    clock: int = 0


class Tip(msgspec.Struct, frozen=True):
    """The best block of a node.

    `safe_height` and `finalized_height` are what the chain itself calls so, None where it has no
    such notion or the node does not tell.
    """

    height: int
    block_id: str
    safe_height: int | None = None
    finalized_height: int | None = None


class Holding(msgspec.Struct, frozen=True):
    """One asset at one address; no contract is the native asset."""

    address: str
    contract: str | None = None


class Token(msgspec.Struct, frozen=True):
    """What a token tells of itself. Anyone can make one that tells anything: for people to compare.

    `decimals` says how many of its digits people write behind the point, None if it does not tell.
    `symbol` is what it calls itself, None if it does not tell or that cannot be shown.
    """

    decimals: int | None
    symbol: str | None = None


class Destination(msgspec.Struct, frozen=True):
    """Where a payment goes: a canonical address, and a canonical memo if the chain has them."""

    address: str
    memo: str | None = None


class Coin(msgspec.Struct, frozen=True):
    """An output that its owner has not spent, on chains where money is held so (Bitcoin)."""

    id: str
    amount_minor: int


class Spending(msgspec.Struct, frozen=True):
    """Which coins a transaction spends and where they go, by its own bytes, proven by its id.

    `outputs` are (address, amount) in order, the address None where an output has none. `block_id`
    is the block of the node's best chain that carries it, None if none does.
    """

    transaction_id: str
    raw: bytes
    coins: tuple[str, ...]
    outputs: tuple[tuple[str | None, int], ...]
    block_id: str | None = None


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
    of the sender that the chain has not used, None where the chain has none, `first_nonce` what it
    was before the sender ever paid. `parameters` is the adapter's own (gas price, gas limit, …),
    opaque to everyone else. `held_minor` and
    `held_native_minor` are what the sender can spend of the asset and of the native one in the
    node's latest block: payments that are not in a block yet are not taken off, what must stay in
    the account is. None where money is held as coins: `build` is given them.
    """

    fee_minor_max: int
    next_nonce: int | None
    parameters: bytes
    held_minor: int | None
    held_native_minor: int | None
    first_nonce: int | None = None


class UnsignedTransaction(msgspec.Struct, frozen=True):
    """A transaction ready to be signed: `signing_payloads` in order, each signed by the sender.

    `body` is the adapter's own and opaque. `coins` are the ids of what it spends. A block can
    carry it as long as that block's clock is not above `valid_until`; None: for ever.
    """

    payment: Payment
    nonce: int | None
    fee_minor_max: int
    signing_payloads: tuple[bytes, ...]
    body: bytes
    coins: tuple[str, ...] = ()
    valid_until: int | None = None


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
    """Another transaction with the same nonce, or that spends a coin of it, is in a block."""


class Broadcast(msgspec.Struct, frozen=True):
    """Outcome of one broadcast, with the node's own words."""

    outcome: BroadcastOutcome
    detail: str = ""


class KeyScheme(StrEnum):
    """How a chain's keys come from a secret, and on which curve they sign."""

    SECP256K1 = "secp256k1"
    """BIP-39 and BIP-32; signatures of 65 bytes r‖s‖v, v 0 or 1."""
    ED25519 = "ed25519"
    """BIP-39 and SLIP-10, all steps hardened; signatures of 64 bytes (RFC 8032)."""
    TON = "ton"
    """One ed25519 key from a mnemonic of TON's own kind; key paths number its wallets."""


class AdapterError(Exception):
    """Base of all that an adapter raises on purpose."""


class NodeUnavailable(AdapterError):
    """No node gave a usable answer: time-out, refused connection, truncated or lying response.

    Nothing is known about the chain or about a broadcast; the caller retries.
    """


class WrongNetwork(NodeUnavailable):
    """Every node serves another network than the configured one: none that can be used is there.

    Waited for like all that is away, so that the other networks of a worker go on.
    """


class InvalidAddress(AdapterError):
    """A text is no address of this network; the message says what was expected."""


class InvalidMemo(AdapterError):
    """A text is no memo of this network, or the network has none; the message says what is."""


class PaymentRefused(AdapterError):
    """The chain would refuse or lose this payment; found out before any money moved.

    `reason` is machine-readable and stable, e.g. "recipient_reverts".
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
