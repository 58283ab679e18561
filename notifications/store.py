"""Events on their way out: keeping them, planning deliveries, doing it again, forgetting them.

Every function works inside the caller's transaction; nothing is sent before it commits.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from functools import partial

import asyncpg

from sql import notifications as sql
from sql.notifications import EventRow
from sql.pool import Connection
from topics.event_data import EndpointTest
from topics.events import Event, WebhookTest, encode_event, event_type, make_event_id

PRUNE_ROWS = 1000
REPLAY_ATTEMPTS = 5


class EndpointUnknown(Exception):
    """The tenant has no such endpoint, or it is disabled."""


async def store_events(conn: Connection, events: Sequence[Event], now: datetime) -> None:
    """Keep events and plan one delivery to each enabled endpoint of their tenant that wants them.

    An event whose id is kept already is skipped, so storing a batch again is harmless. `now` is
    when they are kept from; the first attempt is due at once. A webhook.test among them goes
    nowhere: use `test_endpoint`.
    """
    await sql.store_events(conn, [_row(event) for event in events], now)


def _row(event: Event) -> EventRow:
    return EventRow(event.id, event.tenant, event_type(event), encode_event(event))


async def test_endpoint(conn: Connection, tenant: str, endpoint_id: str, now: datetime) -> int:
    """Send a webhook.test to one endpoint, whatever types it wants; return the delivery_id.

    Raises EndpointUnknown.
    """
    event = WebhookTest(
        id=make_event_id(now, "webhook.test", endpoint_id, secrets.token_hex(16)),
        tenant=tenant,
        occurred_at=now,
        data=EndpointTest(endpoint_id=endpoint_id, message="This is a test."),
    )
    delivery_id = await sql.store_test(conn, _row(event), endpoint_id, now)
    if delivery_id is None:
        raise EndpointUnknown(endpoint_id)
    return delivery_id


async def replay(
    conn: Connection,
    tenant: str,
    *,
    event_ids: Sequence[str] | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    endpoint_id: str | None = None,
) -> list[int]:
    """Plan new deliveries of kept events and return their delivery_ids.

    Events are chosen by id or by the time they were stored (since <= time < until), or both; at
    least one must be given, else ValueError. They go to `endpoint_id`, or to every endpoint, as far
    as it is enabled and wants their type. The webhook-id is the same as before, so a receiver that
    has the event already drops it. What is pruned in that moment is left out.
    """
    if event_ids is None and since is None:
        raise ValueError("say which events to replay: event_ids or since")
    plan = partial(
        sql.replay_events,
        conn,
        tenant,
        event_ids=event_ids,
        since=since,
        until=until,
        endpoint_id=endpoint_id,
    )
    for _ in range(REPLAY_ATTEMPTS - 1):
        # What was pruned in that moment is gone when asked again.
        with suppress(asyncpg.ForeignKeyViolationError):
            async with conn.transaction():
                return await plan()
    return await plan()


async def prune_events(conn: Connection, older_than: datetime, rows_max: int = PRUNE_ROWS) -> int:
    """Forget at most `rows_max` events stored before a moment, with deliveries and attempts.

    What is still to be delivered is kept.

    Returns how many it were; call again, in a new transaction, while that is `rows_max`.
    """
    return await sql.prune_events(conn, older_than, rows_max)
