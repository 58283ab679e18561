"""Who may send a webhook, while others come, go and change their mind in the same moment."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime
from threading import Thread
from uuid import UUID, uuid4

import pytest
from aiohttp import web
from structlog.testing import capture_logs

from notifications.endpoints import disable_endpoint
from sql import notifications as sql
from sql.notifications import Claim
from sql.pool import Connection, Pool, open_pool
from tests.support.races import be_impatient, until_blocked
from tests.support.webhooks import (
    LIMITS,
    answer_with,
    deliver,
    make_event,
    now,
    receive,
    register,
    settled,
    store_event,
)

GATE = 7
"""An advisory lock: whoever reads endpoints as the workers' role has to pass it."""


@pytest.fixture
async def gated(pool: Pool, database_url: str) -> AsyncIterator[Pool]:
    """Connections whose statements, once begun, stop at the gate while it is held."""
    await pool.execute(
        f"""
        CREATE FUNCTION pass_gate() RETURNS boolean LANGUAGE plpgsql AS $$
        BEGIN PERFORM pg_advisory_xact_lock({GATE}); RETURN true; END $$;
        CREATE POLICY gate ON endpoints TO millrace_app USING (pass_gate());
        ALTER TABLE endpoints ENABLE ROW LEVEL SECURITY;
        """
    )
    async with await open_pool(f"{database_url}&role=millrace_app", 2) as connections:
        yield connections


@asynccontextmanager
async def gate_held(conn: Connection) -> AsyncIterator[None]:
    await conn.execute(f"SELECT pg_advisory_lock({GATE})")
    yield
    await conn.execute(f"SELECT pg_advisory_unlock({GATE})")


async def claim(pool: Pool, worker: UUID, lease_s: float = 60.0) -> list[Claim]:
    """Take what is due as a worker that says it is alive for so long."""
    async with pool.acquire() as conn:
        await sql.renew_worker(conn, worker, lease_s)
        return await sql.claim_deliveries(
            conn, worker, limit_rows=10, room_default=10, rooms={}, held_by={}
        )


async def at_the_gate(conn: Connection) -> None:
    query = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
    async with asyncio.timeout(15):
        while not await conn.fetchval(query):  # noqa: ASYNC110 - a lock sets no event
            await asyncio.sleep(0.01)


async def test_what_a_worker_took_that_began_a_moment_ago_is_not_taken_again(
    pool: Pool, gated: Pool
) -> None:
    """The slow one looked who is alive before the quick one was."""
    await register(pool, "race", "http://127.0.0.1:9/hook")
    await store_event(pool, make_event("race"))
    async with pool.acquire() as conn, gate_held(conn):
        slow = asyncio.create_task(claim(gated, uuid4()))
        await at_the_gate(conn)
        assert len(await claim(pool, uuid4())) == 1
    assert await slow == []


async def test_what_a_worker_took_is_free_as_soon_as_its_lease_is_over_and_not_before(
    pool: Pool,
) -> None:
    await register(pool, "lease", "http://127.0.0.1:9/hook")
    await store_event(pool, make_event("lease"))
    first, second, third = uuid4(), uuid4(), uuid4()
    assert len(await claim(pool, first)) == 1
    assert await claim(pool, second) == []
    await pool.execute("UPDATE delivery_workers SET expires_at = now() WHERE worker = $1", first)
    assert len(await claim(pool, second)) == 1
    assert await claim(pool, third) == []


async def counted(conn: Connection, table: str, figure: str) -> int:
    """Return what the statistics say that this connection did to a table."""
    query = f"SELECT {figure} FROM pg_stat_xact_user_tables WHERE relname = $1"
    figures: int = await conn.fetchval(query, table)
    return figures


async def test_who_planned_when_there_was_nothing_reads_no_more_events_than_it_sends(
    pool: Pool, database_url: str, no_endpoints_of_other_tests: None
) -> None:
    await pool.execute("TRUNCATE events CASCADE")
    async with await open_pool(database_url, 1, keeps_plans=True) as worker:
        assert await claim(worker, uuid4()) == []
        await register(pool, "few", "http://127.0.0.1:9/hook")
        await store_event(pool, *(make_event("few", number) for number in range(500)))
        async with worker.acquire() as conn, conn.transaction():
            claims = await sql.claim_deliveries(
                conn, uuid4(), limit_rows=20, room_default=500, rooms={}, held_by={}
            )
            assert len(claims) == 10
            assert await counted(conn, "events", "seq_tup_read + idx_tup_fetch") == 10


async def test_a_claim_changes_no_index_however_much_is_claimed_at_once(
    pool: Pool, no_endpoints_of_other_tests: None
) -> None:
    """Else each of the table's indexes would be written to for each delivery once more."""
    await register(pool, "much", "http://127.0.0.1:9/hook")
    await store_event(pool, *(make_event("much", number) for number in range(500)))
    async with pool.acquire() as conn, conn.transaction():
        before = await counted(conn, "deliveries", "n_tup_upd - n_tup_hot_upd")
        claims = await sql.claim_deliveries(
            conn, uuid4(), limit_rows=1000, room_default=500, rooms={}, held_by={}
        )
        assert len(claims) == 500
        assert await counted(conn, "deliveries", "n_tup_upd - n_tup_hot_upd") == before


async def test_who_disables_a_failing_endpoint_is_in_no_circle_with_its_worker(pool: Pool) -> None:
    async with receive(answer_with(500)) as receiver, pool.acquire() as conn:
        endpoint = await register(pool, "circle", receiver.url)
        await store_event(pool, make_event("circle"))
        disabling = conn.transaction()
        await disabling.start()
        await be_impatient(conn)
        await conn.execute("SELECT FROM endpoints WHERE tenant = 'circle' FOR NO KEY UPDATE")
        async with deliver(pool):
            await until_blocked(pool)
            await disable_endpoint(conn, "circle", endpoint.endpoint_id, now())
            await disabling.commit()
            await settled(pool, "circle", "cancelled")


async def test_who_was_silent_for_longer_than_its_lease_sends_no_more_of_what_it_had(
    pool: Pool, database_url: str, no_endpoints_of_other_tests: None
) -> None:
    """Another has that by then."""
    taken: list[Claim] = []

    async def take_over() -> None:
        async with await open_pool(database_url, 1) as connections:
            taken.extend(await claim(connections, uuid4(), lease_s=9.0))

    async def fall_silent(_: web.Request) -> web.Response:
        time.sleep(1.0)  # noqa: ASYNC251 - the whole worker is silent
        thread = Thread(target=lambda: asyncio.run(take_over()))
        thread.start()
        thread.join()
        return web.Response()

    limits = replace(LIMITS, lease_s=1.0, flying_endpoint_max=1)
    async with receive(fall_silent) as receiver:
        await register(pool, "silent", receiver.url)
        await store_event(pool, *(make_event("silent", number) for number in range(5)))
        async with deliver(pool, limits=limits):
            await settled(pool, "silent", "delivered")
    assert len(taken) == 5
    assert len(receiver.received) == 1


async def test_what_is_under_way_when_a_worker_is_told_to_stop_is_written_down(
    pool: Pool, no_endpoints_of_other_tests: None
) -> None:
    told = asyncio.Event()

    async def answer_late(_: web.Request) -> web.Response:
        await told.wait()
        return web.Response()

    async with receive(answer_late) as receiver:
        await register(pool, "stop", receiver.url)
        await store_event(pool, make_event("stop"))
        async with deliver(pool, limits=replace(LIMITS, stop_s=15.0)):
            await receiver.wait_for(1)
            asyncio.get_running_loop().call_later(0.1, told.set)
        async with pool.acquire() as conn:
            (row,) = await sql.list_deliveries(conn, "stop")
    assert row.state == "delivered"


async def test_a_fault_of_ours_ends_the_worker(
    pool: Pool, no_endpoints_of_other_tests: None
) -> None:
    """Whatever supervises it begins anew; what it had comes back when its lease is over."""

    def clock() -> datetime:
        raise ZeroDivisionError

    await register(pool, "fault", "http://127.0.0.1:9/hook")
    await store_event(pool, make_event("fault"))
    with capture_logs() as lines, pytest.raises(ZeroDivisionError):
        async with deliver(pool, clock=clock), asyncio.timeout(15):
            while not lines:  # noqa: ASYNC110 - nothing tells
                await asyncio.sleep(0.02)
