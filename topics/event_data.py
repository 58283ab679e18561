"""What each event tells: the `data` of an event's envelope, see topics.events."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from msgspec import Meta, Struct

Minor = Annotated[str, Meta(pattern=r"^(0|[1-9][0-9]{0,77})$")]
"""Decimal string of minor units, not negative."""
SignedMinor = Annotated[str, Meta(pattern=r"^(0|-?[1-9][0-9]{0,77})$")]
"""Decimal string of minor units."""
Instant = Annotated[datetime, Meta(tz=True)]
"""RFC 3339, in UTC as we write it."""


class Data(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, gc=False):
    """Base of every event's data. Unknown fields are refused on our side of Kafka."""


class Deposit(Data, frozen=True, kw_only=True):
    """One transfer to a deposit address, or to a pooled address whose memo tells the owner.

    (network, transaction_id, transfer_index) tells it apart and stays the same when the
    transaction is mined again in another block; `revision` counts how often that happened.
    """

    deposit_id: int
    owner: str
    """Empty as long as nobody is known to own it: its memo is missing, malformed or unknown."""
    network: str
    """CAIP-2 id."""
    asset: str | None
    """None for a token nobody allow-listed."""
    amount_minor: Minor
    address: str
    sender: str | None
    contract: str | None
    memo: str | None
    """As the sender wrote it, in the chain's canonical form."""
    transaction_id: str
    transfer_index: str
    height: int
    block_id: str
    revision: int
    confirmations: int
    """Blocks on top of it, its own included, when the event occurred; 0 once it is orphaned."""
    confirmations_required: int


class AssignedDeposit(Deposit, frozen=True, kw_only=True):
    """A deposit that an operator found the owner of."""

    assigned_by: str


class IgnoredDeposit(Deposit, frozen=True, kw_only=True):
    """A deposit that is recorded and never credited."""

    reason: Literal["unknown_token", "below_minimum", "own_transfer"]


class ReversedDeposit(Deposit, frozen=True, kw_only=True):
    """A credited deposit that was taken back."""

    account_frozen: bool
    """The owner had spent the money, so the account is frozen and its balance is short."""


class Withdrawal(Data, frozen=True, kw_only=True):
    """One order to pay out. `idempotency_key` is the producer's own id of it."""

    withdrawal_id: int
    idempotency_key: str
    owner: str
    network: str
    asset: str
    amount_minor: Minor
    """What the recipient gets."""
    fee_minor: Minor
    """What the owner is charged on top, in the same asset."""
    address: str
    memo: str | None


class RejectedWithdrawal(Data, frozen=True, kw_only=True):
    """A command that will not be done. What it said is repeated as far as it could be read."""

    withdrawal_id: int | None
    idempotency_key: str | None
    owner: str | None
    network: str | None
    asset: str | None
    amount_minor: str | None
    """As it was written, which may be no amount at all."""
    address: str | None
    reason: str
    """Machine-readable and stable, e.g. "insufficient_funds"."""
    detail: str


class AwaitingWithdrawal(Withdrawal, frozen=True, kw_only=True):
    """It waits for an operator."""

    reason: str
    """Machine-readable, e.g. "amount"."""


class ApprovedWithdrawal(Withdrawal, frozen=True, kw_only=True):
    """It may be paid."""

    approved_by: str
    """The operator, or "limits" if it was within them."""


class SentWithdrawal(Withdrawal, frozen=True, kw_only=True):
    """Its transaction is signed or on its way."""

    transaction_id: str
    nonce: int | None


class ReplacedWithdrawal(SentWithdrawal, frozen=True, kw_only=True):
    """Another transaction took the old one's place. Either may land, never both.

    They share the nonce or a coin, or the old one has expired.
    """

    replaced_transaction_id: str


class ConfirmedWithdrawal(Withdrawal, frozen=True, kw_only=True):
    """Paid, deep enough in the chain."""

    transaction_id: str
    height: int
    block_id: str
    confirmations: int
    network_fee_minor: Minor
    """Paid to the network by the hot wallet, in `network_fee_asset`."""
    network_fee_asset: str


class FailedWithdrawal(Withdrawal, frozen=True, kw_only=True):
    """It was not paid and cannot be any more; the money is available to its owner again."""

    transaction_id: str | None
    """The transaction that was mined without effect, if one was."""
    reason: str
    detail: str


class ReversedWithdrawal(Withdrawal, frozen=True, kw_only=True):
    """Its block left the chain, it landed after it was given up, or its money came back.

    What the ledger had settled is undone. It is not paid a second time.
    """

    transaction_id: str
    account_frozen: bool
    """Money that had been given back was spent, so the account is frozen."""


class Account(Data, frozen=True, kw_only=True):
    """An owner's money in one asset."""

    owner: str
    asset: str
    reason: Literal["reorganised_credit", "operator"]
    """reorganised_credit: it owes for money that had been spent. operator: an operator's word."""
    detail: str
    decided_by: str | None = None
    """The operator, null if it was frozen for a debt."""


class HotWallet(Data, frozen=True, kw_only=True):
    """A hot wallet holds less than it should."""

    network: str
    asset: str
    address: str
    balance_minor: Minor
    threshold_minor: Minor


class HaltedNetwork(Data, frozen=True, kw_only=True):
    """A network is not followed until an operator resumes it; nothing is credited or paid on it."""

    network: str
    height: int
    """The highest block that was followed."""
    reason: str
    detail: str


class ResumedNetwork(Data, frozen=True, kw_only=True):
    """A halted network is followed again."""

    network: str
    height: int


class Difference(Data, frozen=True, kw_only=True):
    """Two figures that must be equal are not. difference = actual - expected."""

    scope: Literal["chain", "ledger", "balance"]
    """chain: node against ledger; ledger: debits against credits; balance: postings against it."""
    network: str | None
    asset: str
    account: str
    """The ledger account or address that differs."""
    expected_minor: SignedMinor
    actual_minor: SignedMinor
    difference_minor: SignedMinor


class DisabledEndpoint(Data, frozen=True, kw_only=True):
    """An endpoint that gets no more webhooks until it is enabled again."""

    endpoint_id: str
    url: str
    reason: Literal["gone", "failing"]
    """gone: it answered 410. failing: nothing but failure for days."""
    failing_since: Instant


class EndpointTest(Data, frozen=True, kw_only=True):
    """Sent on demand, to one endpoint."""

    endpoint_id: str
    message: str
