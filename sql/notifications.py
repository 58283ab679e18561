"""Webhooks at rest: events, endpoints, deliveries and the log of attempts."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sql.pool import Connection
from sql.queries import load_queries

_queries = load_queries("notifications")


class EventRow(NamedTuple):
    """An event to be kept; `payload` is sent as it is."""

    event_id: str
    tenant: str
    type: str
    payload: bytes


class Claim(NamedTuple):
    """A delivery in this worker's hands, with all that one attempt needs."""

    delivery_id: int
    attempts: int
    """Attempts made before this one."""
    event_id: str
    payload: bytes
    endpoint_id: str
    url: str
    secret: bytes
    """Encrypted."""
    previous_secret: bytes | None
    """Encrypted; None once its time is over."""
    failing: bool
    """The endpoint's last attempt that was written down failed."""
    tenant: str


class OutcomeRow(NamedTuple):
    """What came of one attempt, and what is to become of its delivery."""

    delivery_id: int
    state: str
    delay_s: float
    """Until the next attempt, from the moment this is written down."""
    started_at: datetime
    duration_s: float
    status: int | None
    error: str | None
    response: str | None


class HealthRow(NamedTuple):
    """How an endpoint fared in a batch of attempts."""

    endpoint_id: str
    url: str
    """Where; another one by now says nothing of the endpoint."""
    succeeded: bool
    gone: bool
    """It said that it is gone for good."""
    pause_s: float | None
    """For how long it wants to be left alone, from the moment this is written down."""


class DisabledRow(NamedTuple):
    """An endpoint that has just been disabled."""

    endpoint_id: str
    tenant: str
    url: str
    reason: str
    failing_since: datetime


class DeliveryRow(NamedTuple):
    """Where one delivery stands."""

    delivery_id: int
    event_id: str
    type: str
    endpoint_id: str
    replay: int
    state: str
    attempts: int
    next_attempt_at: datetime
    last_error: str | None
    delivered_at: datetime | None


class AttemptRow(NamedTuple):
    """One line of the log."""

    attempt: int
    started_at: datetime
    duration_s: float
    status: int | None
    error: str | None
    response: str | None


class DeliveryMeasure(NamedTuple):
    """The state of all deliveries in three figures."""

    pending: int
    oldest_due_s: float
    endpoints_disabled: int


async def store_events(conn: Connection, events: Sequence[EventRow], now: datetime) -> None:
    """Keep events and make their deliveries. Events that are kept already make none."""
    if not events:
        return
    event_ids, tenants, types, payloads = zip(*events, strict=True)
    await _queries.store_events(
        conn,
        event_ids=list(event_ids),
        tenants=list(tenants),
        types=list(types),
        payloads=list(payloads),
        now=now,
    )


async def store_test(
    conn: Connection, event: EventRow, endpoint_id: str, now: datetime
) -> int | None:
    """Keep a test event for one endpoint; return its delivery, None if there is none."""
    delivery_id: int | None = await _queries.store_test(
        conn,
        event_id=event.event_id,
        tenant=event.tenant,
        payload=event.payload,
        endpoint_id=endpoint_id,
        now=now,
    )
    return delivery_id


async def replay_events(
    conn: Connection,
    tenant: str,
    *,
    event_ids: Sequence[str] | None,
    since: datetime | None,
    until: datetime | None,
    endpoint_id: str | None,
) -> list[int]:
    """Make new deliveries of kept events and return their ids."""
    rows = _queries.replay_events(
        conn,
        tenant=tenant,
        event_ids=None if event_ids is None else list(event_ids),
        since=since,
        until=until,
        endpoint_id=endpoint_id,
    )
    return [row["delivery_id"] for row in await rows]


async def prune_events(conn: Connection, before: datetime, limit_rows: int) -> int:
    """Forget at most `limit_rows` events from before a moment; return how many there were."""
    return len(await _queries.prune_events(conn, before=before, limit_rows=limit_rows))


async def renew_worker(conn: Connection, worker: UUID, lease_s: float) -> None:
    """Say that this worker is alive."""
    await _queries.renew_worker(conn, worker=worker, lease_s=lease_s)


async def retire_workers(conn: Connection, worker: UUID) -> None:
    """Forget this worker and those whose lease is over; what they had in hand is free."""
    await _queries.retire_workers(conn, worker=worker)


async def claim_deliveries(
    conn: Connection,
    worker: UUID,
    *,
    limit_rows: int,
    room_default: int,
    rooms: dict[str, int],
    held_by: dict[str, int],
) -> list[Claim]:
    """Take due deliveries, `limit_rows` at most, and no tenant's that would leave less free.

    `rooms` says how many more an endpoint may get, if not the default, and `held_by` how many a
    tenant has, if any.
    """
    rows = await _queries.claim_deliveries(
        conn,
        worker=worker,
        limit_rows=limit_rows,
        room_default=room_default,
        busy_ids=list(rooms),
        rooms=list(rooms.values()),
        held_tenants=list(held_by),
        held_counts=list(held_by.values()),
    )
    return [Claim(*row) for row in rows]


async def return_claims(conn: Connection, worker: UUID, delivery_ids: Sequence[int]) -> None:
    """Give deliveries back unsent."""
    if not delivery_ids:
        return
    await _queries.return_claims(conn, worker=worker, delivery_ids=list(delivery_ids))


async def record_outcomes(conn: Connection, worker: UUID, outcomes: Sequence[OutcomeRow]) -> None:
    """Write what came of attempts, each of another delivery."""
    if not outcomes:
        return
    columns = [list(column) for column in zip(*outcomes, strict=True)]
    await _queries.record_outcomes(
        conn,
        worker=worker,
        delivery_ids=columns[0],
        states=columns[1],
        delays_s=columns[2],
        started_ats=columns[3],
        durations_s=columns[4],
        statuses=columns[5],
        errors=columns[6],
        responses=columns[7],
    )


async def record_health(conn: Connection, health: Sequence[HealthRow]) -> None:
    """Remember how endpoints fared, each once."""
    if not health:
        return
    await _queries.record_health(
        conn,
        endpoint_ids=[row.endpoint_id for row in health],
        urls=[row.url for row in health],
        succeeded=[row.succeeded for row in health],
        pauses_s=[row.pause_s for row in health],
    )


async def disable_endpoints(
    conn: Connection, health: Sequence[HealthRow], *, failing_s: float
) -> list[DisabledRow]:
    """Disable those of these endpoints that are gone or have been failing for so long."""
    rows = await _queries.disable_endpoints(
        conn,
        endpoint_ids=[row.endpoint_id for row in health],
        urls=[row.url for row in health],
        succeeded=[row.succeeded for row in health],
        gone=[row.gone for row in health],
        failing_s=failing_s,
    )
    return [DisabledRow(*row) for row in rows]


async def cancel_deliveries(conn: Connection, endpoint_ids: Sequence[str]) -> None:
    """Give up what was still to be brought to these endpoints."""
    await _queries.cancel_deliveries(conn, endpoint_ids=list(endpoint_ids))


async def list_deliveries(
    conn: Connection,
    tenant: str,
    *,
    endpoint_id: str | None = None,
    event_id: str | None = None,
    state: str | None = None,
    before_id: int | None = None,
    limit_rows: int = 100,
) -> list[DeliveryRow]:
    """Return a tenant's deliveries, newest first."""
    rows = await _queries.list_deliveries(
        conn,
        tenant=tenant,
        endpoint_id=endpoint_id,
        event_id=event_id,
        state=state,
        before_id=before_id,
        limit_rows=limit_rows,
    )
    return [DeliveryRow(*row) for row in rows]


async def list_attempts(conn: Connection, tenant: str, delivery_id: int) -> list[AttemptRow]:
    """Return the log of one delivery, first attempt first."""
    rows = await _queries.list_attempts(conn, tenant=tenant, delivery_id=delivery_id)
    return [AttemptRow(*row) for row in rows]


async def measure_deliveries(conn: Connection) -> DeliveryMeasure:
    """Return how much waits, for how long, and how many endpoints were given up."""
    return DeliveryMeasure(*await _queries.measure_deliveries(conn))
