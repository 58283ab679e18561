"""Events: what a tenant hears of its money. The payload of a webhook is exactly one of these.

Every event is an envelope (`id`, `type`, `tenant`, `occurred_at`) with `data` of its type. Amounts
are decimal strings of minor units of the asset named beside them. The same event always has the
same `id`, however often it is published or delivered: receivers drop repeats by it. Events may
arrive late and out of order; fields may be added to a type, none is removed or changes meaning.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime
from functools import lru_cache
from typing import Annotated, TypeAlias, get_args

import msgspec
from msgspec import Meta, Struct

from topics.event_data import (
    Account,
    ApprovedWithdrawal,
    AssignedDeposit,
    AwaitingWithdrawal,
    ConfirmedWithdrawal,
    Deposit,
    Difference,
    DisabledEndpoint,
    EndpointTest,
    FailedWithdrawal,
    HaltedNetwork,
    HotWallet,
    IgnoredDeposit,
    Instant,
    RejectedWithdrawal,
    ReplacedWithdrawal,
    ResumedNetwork,
    ReversedDeposit,
    ReversedWithdrawal,
    SentWithdrawal,
    Withdrawal,
)
from topics.topic import TENANT_PATTERN, Emitter, Topic, json_decoder

Tenant = Annotated[str, Meta(pattern=f"^{TENANT_PATTERN}$")]
EventId = Annotated[str, Meta(pattern=r"^evt_[0-9A-HJKMNP-TV-Z]{26}$")]


class Envelope(
    Struct, frozen=True, kw_only=True, tag_field="type", forbid_unknown_fields=True, gc=False
):
    """What all events have in common."""

    id: EventId
    """Also the header webhook-id."""
    tenant: Tenant
    occurred_at: Instant


class DepositDetected(Envelope, frozen=True, kw_only=True, tag="deposit.detected"):
    """A transfer to a deposit address or pooled address is in a block. Not yet to be relied on."""

    data: Deposit


class DepositConfirmed(Envelope, frozen=True, kw_only=True, tag="deposit.confirmed"):
    """It has its confirmations and is credited."""

    data: Deposit


class DepositUnassigned(Envelope, frozen=True, kw_only=True, tag="deposit.unassigned"):
    """It has its confirmations, and is credited to nobody until an operator says whose it is."""

    data: Deposit


class DepositAssigned(Envelope, frozen=True, kw_only=True, tag="deposit.assigned"):
    """An operator said whose it is, and it is credited."""

    data: AssignedDeposit


class DepositOrphaned(Envelope, frozen=True, kw_only=True, tag="deposit.orphaned"):
    """Its block left the chain. It is detected anew, with a higher revision, if mined again."""

    data: Deposit


class DepositReversed(Envelope, frozen=True, kw_only=True, tag="deposit.reversed"):
    """It had been confirmed, its block left the chain, and what was credited was taken back."""

    data: ReversedDeposit


class DepositIgnored(Envelope, frozen=True, kw_only=True, tag="deposit.ignored"):
    """It is recorded, and not credited for the reason given."""

    data: IgnoredDeposit


class WithdrawalRequested(Envelope, frozen=True, kw_only=True, tag="withdrawal.requested"):
    """A command was accepted and the money is held."""

    data: Withdrawal


class WithdrawalRejected(Envelope, frozen=True, kw_only=True, tag="withdrawal.rejected"):
    """A command was refused, or an operator said no. No money is held."""

    data: RejectedWithdrawal


class WithdrawalAwaitingApproval(
    Envelope, frozen=True, kw_only=True, tag="withdrawal.awaiting_approval"
):
    """An operator has to decide."""

    data: AwaitingWithdrawal


class WithdrawalApproved(Envelope, frozen=True, kw_only=True, tag="withdrawal.approved"):
    """It will be signed next."""

    data: ApprovedWithdrawal


class WithdrawalSigned(Envelope, frozen=True, kw_only=True, tag="withdrawal.signed"):
    """Its transaction is signed and stored, and not yet sent."""

    data: SentWithdrawal


class WithdrawalBroadcast(Envelope, frozen=True, kw_only=True, tag="withdrawal.broadcast"):
    """A node took its transaction. It is not paid before withdrawal.confirmed."""

    data: SentWithdrawal


class WithdrawalReplaced(Envelope, frozen=True, kw_only=True, tag="withdrawal.replaced"):
    """It was stuck or expired and is signed anew, or landed in a transaction we did not know."""

    data: ReplacedWithdrawal


class WithdrawalConfirmed(Envelope, frozen=True, kw_only=True, tag="withdrawal.confirmed"):
    """It is paid."""

    data: ConfirmedWithdrawal


class WithdrawalFailed(Envelope, frozen=True, kw_only=True, tag="withdrawal.failed"):
    """It is not paid and the money went back."""

    data: FailedWithdrawal


class WithdrawalReversed(Envelope, frozen=True, kw_only=True, tag="withdrawal.reversed"):
    """It is open again after all, neither confirmed nor failed. Another event tells the outcome."""

    data: ReversedWithdrawal


class AccountFrozen(Envelope, frozen=True, kw_only=True, tag="account.frozen"):
    """No money leaves this account: until its debt is paid, or until an operator lets it go."""

    data: Account


class AccountUnfrozen(Envelope, frozen=True, kw_only=True, tag="account.unfrozen"):
    """Its debt is paid, or an operator let it go: the account works again."""

    data: Account


class HotWalletLow(Envelope, frozen=True, kw_only=True, tag="hot_wallet.low"):
    """A hot wallet should be filled up."""

    data: HotWallet


class NetworkHalted(Envelope, frozen=True, kw_only=True, tag="network.halted"):
    """A network stopped. Every tenant gets an event of its own."""

    data: HaltedNetwork


class NetworkResumed(Envelope, frozen=True, kw_only=True, tag="network.resumed"):
    """A halted network goes on. Every tenant gets an event of its own."""

    data: ResumedNetwork


class ReconciliationDifference(
    Envelope, frozen=True, kw_only=True, tag="reconciliation.difference"
):
    """Chain, ledger and balances do not agree."""

    data: Difference


class WebhookDisabled(Envelope, frozen=True, kw_only=True, tag="webhook.disabled"):
    """An endpoint was disabled; the tenant's other endpoints hear of it."""

    data: DisabledEndpoint


class WebhookTest(Envelope, frozen=True, kw_only=True, tag="webhook.test"):
    """A test that somebody asked for."""

    data: EndpointTest


Event: TypeAlias = (
    DepositDetected
    | DepositConfirmed
    | DepositUnassigned
    | DepositAssigned
    | DepositOrphaned
    | DepositReversed
    | DepositIgnored
    | WithdrawalRequested
    | WithdrawalRejected
    | WithdrawalAwaitingApproval
    | WithdrawalApproved
    | WithdrawalSigned
    | WithdrawalBroadcast
    | WithdrawalReplaced
    | WithdrawalConfirmed
    | WithdrawalFailed
    | WithdrawalReversed
    | AccountFrozen
    | AccountUnfrozen
    | HotWalletLow
    | NetworkHalted
    | NetworkResumed
    | ReconciliationDifference
    | WebhookDisabled
    | WebhookTest
)


class EventBatch(Struct, frozen=True, forbid_unknown_fields=True):
    """Events of one tenant, in the order in which they occurred: one record of the topic."""

    events: list[Event]


EVENTS_MAX = 1250
"""Events in one record: some 810 KB; longest names and memos fit into what our topics take, 16 MiB.

Records of one key go to Kafka one after the other, so many small ones would take longer.
"""


def batch_events(events: Iterable[Event]) -> list[tuple[str, EventBatch]]:
    """Return (tenant, batch) records of events, each tenant's in order."""
    by_tenant: dict[str, list[Event]] = defaultdict(list)
    for event in events:
        by_tenant[event.tenant].append(event)
    return [
        (tenant, EventBatch(theirs[start : start + EVENTS_MAX]))
        for tenant, theirs in by_tenant.items()
        for start in range(0, len(theirs), EVENTS_MAX)
    ]


EVENTS: Topic[EventBatch] = Topic("events", "tenant", json_decoder(EventBatch))


def emit_events(emitter: Emitter, new_events: Iterable[Event]) -> None:
    """Publish events, in records of one tenant each."""
    for tenant, batch in batch_events(new_events):
        emitter.emit(EVENTS, tenant, batch)


EVENT_TYPES: dict[str, type[Envelope]] = {
    str(event.__struct_config__.tag): event for event in get_args(Event)
}
"""Every event type by its name."""

_encoder = msgspec.json.Encoder()
_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_DIGITS_OF_BYTES = _CROCKFORD.encode() * 8
"""The digit of the last five bits of each byte."""


def encode_event(event: Event) -> bytes:
    """Return the JSON of one event: the body of its webhook."""
    return _encoder.encode(event)


def event_type(event: Event) -> str:
    """Return the name of its type, e.g. "deposit.confirmed"."""
    return str(event.__struct_config__.tag)


def make_event_id(occurred_at: datetime, *key: object) -> str:
    """Return the id of the event that `key` names: the same arguments give the same id.

    Ids sort by time: as in a ULID, 48 bits of Unix milliseconds and 80 bits in Crockford's base 32,
    here five of each of the first 16 bytes of the key's SHA-256. Begin `key` with the event's type,
    so that two events about one thing differ.
    """
    text = "\x1f".join(map(str, key))
    tail = hashlib.sha256(text.encode()).digest()[:16].translate(_DIGITS_OF_BYTES)
    return _time_of_id(occurred_at) + tail.decode()


@lru_cache(maxsize=16)  # the events of a batch share their moment
def _time_of_id(occurred_at: datetime) -> str:
    moment_ms = int(occurred_at.timestamp() * 1000)
    return "evt_" + "".join([_CROCKFORD[moment_ms >> shift & 31] for shift in range(45, -1, -5)])
