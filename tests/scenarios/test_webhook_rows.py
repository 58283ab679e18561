"""What the rows of webhooks say, and to whom, after what happened to them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import datetime, timedelta
from uuid import UUID, uuid4

import pytest

from notifications import endpoints, store
from notifications.store import EndpointUnknown
from sql import endpoints as endpoints_sql
from sql import notifications as sql
from sql.notifications import Claim, HealthRow, OutcomeRow
from sql.pool import Connection, Pool
from tests.support.webhooks import BOX, Tenant, make_event, now, register, store_event

pytestmark = pytest.mark.usefixtures("no_endpoints_of_other_tests")

URL = "http://127.0.0.1:9/hook"
LONG_AGO = timedelta(days=1)


@pytest.fixture
async def conn(pool: Pool) -> AsyncIterator[Connection]:
    await pool.execute("TRUNCATE events, delivery_workers CASCADE")
    async with pool.acquire() as connection:
        yield connection


async def claim(
    conn: Connection,
    worker: UUID,
    limit_rows: int = 100,
    room: int = 100,
    held_by: dict[str, int] | None = None,
) -> list[Claim]:
    """Take what is due as a worker that is alive."""
    await sql.renew_worker(conn, worker, 60.0)
    return await sql.claim_deliveries(
        conn,
        worker,
        limit_rows=limit_rows,
        room_default=room,
        rooms={},
        held_by=held_by or {},
    )


async def write(conn: Connection, worker: UUID, claims: Sequence[Claim], state: str) -> None:
    """Write what came of a claim: pending is a failure, to be tried again in a minute."""
    error = None if state == "delivered" else "HTTP 500"
    delay_s = 60.0 if state == "pending" else 0.0
    rows = [OutcomeRow(c.delivery_id, state, delay_s, now(), 2.0, 500, error, None) for c in claims]
    await sql.record_outcomes(conn, worker, rows)


async def endpoint_of(conn: Connection, tenant: Tenant) -> dict[str, object]:
    query = "SELECT * FROM endpoints WHERE endpoint_id = $1"
    return dict(await conn.fetchrow(query, tenant.endpoint_id) or {})


async def wait_less(conn: Connection, number: int, span: timedelta) -> None:
    """Make the delivery of an event due for so long."""
    await conn.execute(
        "UPDATE deliveries SET next_attempt_at = now() - $2::interval WHERE event_id = $1",
        make_event("acme", number).id,
        span,
    )


async def test_the_longest_due_are_taken_first_and_none_before_its_time(
    pool: Pool, conn: Connection
) -> None:
    await register(pool, "acme", URL)
    await store_event(pool, *(make_event("acme", number) for number in range(4)))
    for number, hours in enumerate((1, 3, 2, -1)):
        await wait_less(conn, number, timedelta(hours=hours))
    taken = [await claim(conn, uuid4(), room=room) for room in (1, 10)]
    expected = [[1], [2, 0]]
    assert [{c.event_id for c in claims} for claims in taken] == [
        {make_event("acme", number).id for number in numbers} for numbers in expected
    ]


async def test_nobody_waits_for_what_another_is_taking(pool: Pool, conn: Connection) -> None:
    await register(pool, "acme", URL)
    await store_event(pool, *(make_event("acme", number) for number in range(3)))
    async with pool.acquire() as other, other.transaction(), conn.transaction():
        assert len(await claim(other, uuid4(), room=2)) == 2
        await conn.execute("SET LOCAL lock_timeout = '100ms'")
        assert len(await claim(conn, uuid4(), room=3)) == 1


async def test_a_claim_says_whether_its_endpoint_fails_and_alone_is_not_waited_for(
    pool: Pool, conn: Connection
) -> None:
    tenant = await register(pool, "acme", URL)
    await store_event(pool, *(make_event("acme", number) for number in range(2)))
    (healthy,) = await claim(conn, uuid4(), room=1)
    await write_health(conn, tenant)
    (failing,) = await claim(conn, uuid4())
    assert (healthy.failing, failing.failing) == (False, True)
    assert await conn.fetchval("SHOW synchronous_commit") == "on"


async def test_a_tenant_is_given_half_of_what_is_free_and_not_what_another_has(
    pool: Pool, conn: Connection
) -> None:
    for tenant in ("acme", "other"):
        await register(pool, tenant, URL)
        await store_event(pool, *(make_event(tenant, number) for number in range(20)))
    claims = await claim(conn, uuid4(), limit_rows=9, held_by={"acme": 4})
    taken = [c.tenant for c in claims]
    assert (taken.count("acme"), taken.count("other")) == (3, 5)


async def test_no_more_is_taken_than_asked_for_and_each_tenant_has_some_of_it(
    pool: Pool, conn: Connection
) -> None:
    for tenant in ("acme", "b", "c", "d"):
        await register(pool, tenant, URL)
        await store_event(pool, *(make_event(tenant, number) for number in range(9)))
    claims = await claim(conn, uuid4(), limit_rows=8)
    taken = [c.tenant for c in claims]
    assert sorted(taken) == sorted(["acme", "b", "c", "d"] * 2)


async def test_who_lost_its_claim_has_no_say_unless_it_delivered(
    pool: Pool, conn: Connection
) -> None:
    await register(pool, "acme", URL)
    await store_event(pool, make_event("acme"))
    first, second = uuid4(), uuid4()
    claims = await claim(conn, first)
    await sql.retire_workers(conn, first)
    assert await claim(conn, second) == claims
    await sql.return_claims(conn, first, [claims[0].delivery_id])
    assert await claim(conn, uuid4()) == []
    await write(conn, first, claims, "pending")
    (row,) = await sql.list_deliveries(conn, "acme")
    assert (row.state, row.attempts) == ("pending", 0)
    await write(conn, first, claims, "delivered")
    await write(conn, second, claims, "delivered")
    await write(conn, second, claims, "pending")
    (row,) = await sql.list_deliveries(conn, "acme")
    assert (row.state, row.attempts) == ("delivered", 1)


async def test_a_failure_is_free_to_be_taken_again_when_its_time_has_come(
    pool: Pool, conn: Connection
) -> None:
    await register(pool, "acme", URL)
    await store_event(pool, make_event("acme"))
    worker = uuid4()
    await write(conn, worker, await claim(conn, worker), "pending")
    (row,) = await sql.list_deliveries(conn, "acme")
    assert (row.delivered_at, row.last_error) == (None, "HTTP 500")
    assert await claim(conn, uuid4()) == []
    await wait_less(conn, 0, timedelta(0))
    claims = await claim(conn, worker)
    before = now()
    await write(conn, worker, claims, "delivered")
    (row,) = await sql.list_deliveries(conn, "acme")
    assert row.delivered_at is not None
    assert row.delivered_at >= before + timedelta(seconds=2)
    attempts = await sql.list_attempts(conn, "acme", row.delivery_id)
    assert [attempt.attempt for attempt in attempts] == [1, 2]
    assert row.last_error is None


async def test_a_worker_that_ends_is_forgotten_with_those_that_are_dead_and_no_other(
    conn: Connection,
) -> None:
    ending, living, dead = uuid4(), uuid4(), uuid4()
    for worker in (ending, living, dead):
        await sql.renew_worker(conn, worker, 60.0)
    await conn.execute("UPDATE delivery_workers SET expires_at = now() WHERE worker = $1", dead)
    await sql.retire_workers(conn, ending)
    assert [row[0] for row in await conn.fetch("SELECT worker FROM delivery_workers")] == [living]


async def test_a_worker_renews_its_lease_though_the_clock_was_set_back(conn: Connection) -> None:
    worker = uuid4()
    await sql.renew_worker(conn, worker, 60.0)
    await conn.execute("UPDATE delivery_workers SET expires_at = expires_at + interval '1 day'")
    await sql.renew_worker(conn, worker, 60.0)
    until: datetime = await conn.fetchval("SELECT expires_at FROM delivery_workers")
    assert until < now() + LONG_AGO / 2


async def write_health(
    conn: Connection, tenant: Tenant, *, gone: bool = False, pause_s: float | None = None
) -> None:
    row = HealthRow(tenant.endpoint_id, URL, False, gone, pause_s)
    await sql.record_health(conn, [row])


async def test_an_endpoint_fails_since_its_first_failure_and_the_longest_pause_holds(
    pool: Pool, conn: Connection
) -> None:
    tenant = await register(pool, "acme", URL)
    await write_health(conn, tenant, pause_s=3600.0)
    first = await endpoint_of(conn, tenant)
    await write_health(conn, tenant, pause_s=60.0)
    await write_health(conn, tenant)
    assert await endpoint_of(conn, tenant) == first
    assert first["failing_since"] is not None


async def test_an_endpoint_that_answers_is_not_disabled_for_what_was_before(
    pool: Pool, conn: Connection
) -> None:
    """Even if its health is written down by another worker only after this one looked."""
    tenant = await register(pool, "acme", URL)
    await write_health(conn, tenant)
    healthy = HealthRow(tenant.endpoint_id, URL, True, False, None)
    assert await sql.disable_endpoints(conn, [healthy], failing_s=0.0) == []


async def test_who_was_disabled_stays_so_for_the_first_reason(pool: Pool, conn: Connection) -> None:
    tenant = await register(pool, "acme", URL)
    gone = HealthRow(tenant.endpoint_id, URL, False, True, None)
    (row,) = await sql.disable_endpoints(conn, [gone], failing_s=0.0)
    assert row.reason == "gone"
    disabled = await endpoint_of(conn, tenant)
    assert await sql.disable_endpoints(conn, [gone], failing_s=0.0) == []
    await endpoints.disable_endpoint(conn, "acme", tenant.endpoint_id, now() + LONG_AGO)
    assert await endpoint_of(conn, tenant) == disabled


async def test_what_was_delivered_stays_so_when_the_endpoint_is_disabled(
    pool: Pool, conn: Connection
) -> None:
    tenant = await register(pool, "acme", URL)
    await store_event(pool, make_event("acme"))
    worker = uuid4()
    await write(conn, worker, await claim(conn, worker), "delivered")
    await store_event(pool, make_event("acme", 1))
    await endpoints.disable_endpoint(conn, "acme", tenant.endpoint_id, now())
    newest, oldest = await sql.list_deliveries(conn, "acme")
    assert (newest.state, oldest.state) == ("cancelled", "delivered")
    (paged,) = await sql.list_deliveries(conn, "acme", before_id=newest.delivery_id)
    assert paged == oldest


async def test_what_is_measured_is_what_waits_and_who_was_given_up(
    pool: Pool, conn: Connection
) -> None:
    given_up, closed = [await register(pool, "acme", URL) for _ in range(2)]
    await store_event(pool, make_event("acme"))
    worker = uuid4()
    await write(conn, worker, await claim(conn, worker), "delivered")
    await conn.execute("UPDATE deliveries SET next_attempt_at = now() - interval '1 day'")
    gone = HealthRow(given_up.endpoint_id, URL, False, True, None)
    await sql.disable_endpoints(conn, [gone], failing_s=0.0)
    await endpoints.disable_endpoint(conn, "acme", closed.endpoint_id, now())
    assert await sql.measure_deliveries(conn) == (0, 0.0, 1)
    await register(pool, "acme", URL)
    await store_event(pool, make_event("acme", 1))
    await wait_less(conn, 1, timedelta(seconds=50))
    measured = await sql.measure_deliveries(conn)
    assert measured.pending == 1
    assert 50 <= measured.oldest_due_s < LONG_AGO.total_seconds()


async def test_the_same_address_keeps_what_is_known_of_it_and_being_enabled_clears_it(
    pool: Pool, conn: Connection
) -> None:
    tenant = await register(pool, "acme", URL)
    await write_health(conn, tenant, pause_s=3600.0)
    known = await endpoint_of(conn, tenant)
    await endpoints.change_endpoint(
        conn, "acme", tenant.endpoint_id, URL, event_types=["hot_wallet.low"], allow_private=True
    )
    assert await endpoint_of(conn, tenant) == known | {"event_types": ["hot_wallet.low"]}
    await endpoints.enable_endpoint(conn, "acme", tenant.endpoint_id)
    cleared = await endpoint_of(conn, tenant)
    assert (cleared["failing_since"], cleared["paused_until"]) == (None, None)


async def test_a_replay_goes_to_who_wants_it_and_is_enabled(pool: Pool, conn: Connection) -> None:
    wanting, closed = [await register(pool, "acme", URL) for _ in range(2)]
    await register(pool, "acme", URL, ["deposit.confirmed"])
    start = now()
    moments = [start + timedelta(seconds=number) for number in range(3)]
    for number, moment in enumerate(moments):
        await store.store_events(conn, [make_event("acme", number)], moment)
    await store.test_endpoint(conn, "acme", wanting.endpoint_id, moments[1])
    await endpoints.disable_endpoint(conn, "acme", closed.endpoint_id, now())
    planned = await store.replay(conn, "acme", since=moments[1], until=moments[2])
    rows = {row.delivery_id: row for row in await sql.list_deliveries(conn, "acme")}
    replayed = [(rows[id_].event_id, rows[id_].endpoint_id, rows[id_].replay) for id_ in planned]
    assert replayed == [(make_event("acme", 1).id, wanting.endpoint_id, 1)]
    everything = await store.replay(conn, "acme", since=start)
    rows = {row.delivery_id: row for row in await sql.list_deliveries(conn, "acme")}
    assert [rows[delivery_id].event_id for delivery_id in sorted(everything)] == [
        make_event("acme", number).id for number in range(3)
    ]
    with pytest.raises(EndpointUnknown):
        await store.test_endpoint(conn, "acme", closed.endpoint_id, now())
    with pytest.raises(ValueError, match="which events"):
        await store.replay(conn, "acme")


async def test_endpoints_are_listed_by_age_and_the_newest_in_use_shows_the_key(
    pool: Pool, conn: Connection
) -> None:
    oldest, newest, closed = [await register(pool, "acme", URL) for _ in range(3)]
    await endpoints.disable_endpoint(conn, "acme", closed.endpoint_id, now())
    listed = await endpoints_sql.list_endpoints(conn, "acme")
    expected = [oldest.endpoint_id, newest.endpoint_id, closed.endpoint_id]
    assert [row.endpoint_id for row in listed] == expected
    shown = await endpoints_sql.newest_secret(conn)
    assert shown is not None
    assert shown.endpoint_id == newest.endpoint_id
    await endpoints.rotate_secret(conn, BOX, "acme", newest.endpoint_id)
    row = await endpoint_of(conn, newest)
    assert row["previous_secret"] == shown.secret
    until = row["previous_secret_until"]
    assert isinstance(until, datetime)
    assert until > now() + endpoints.ROTATION / 2
