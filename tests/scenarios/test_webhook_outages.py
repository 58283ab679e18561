"""What receivers answered while the database could not take it is written when it can."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from aiohttp import web
from structlog.testing import capture_logs

from devstack.postgres import Postgres
from metrics.catalogue import REGISTRY
from sql import notifications as sql
from sql.pool import Pool, open_pool
from tests.conftest import execute
from tests.support.races import held_table, until_blocked
from tests.support.webhooks import (
    LIMITS,
    answer_with,
    attempted,
    deliver,
    make_event,
    receive,
    register,
    settled,
    store_event,
)

pytestmark = pytest.mark.usefixtures("no_endpoints_of_other_tests")

ATTEMPTS = "delivery_attempts"
"""No outcome is written while somebody else holds this table; claims go on."""


@pytest.fixture
async def worker_pool(database_url: str) -> AsyncIterator[Pool]:
    """What the worker has of the database; the test's own connections are others."""
    async with await open_pool(f"{database_url}&role=millrace_app", 4) as connections:
        yield connections


@asynccontextmanager
async def shut(pool: Pool, postgres: Postgres) -> AsyncIterator[None]:
    """End all sessions of workers, and let nobody in as long as this lasts."""
    name = await pool.fetchval("SELECT current_database()")
    await execute(postgres, f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
    await pool.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    try:
        yield
    finally:
        await execute(postgres, f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")


async def end_whoever_waits(pool: Pool) -> None:
    """Let the statement that waits for a lock end with its connection."""
    await pool.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(15):
        while not is_so():  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0.01)


def answers() -> float:
    """Return how many answers have come to the worker in this process so far."""
    outcomes = ("delivered", "refused")
    found = (
        REGISTRY.get_sample_value("millrace_webhook_attempts_total", {"outcome": outcome})
        for outcome in outcomes
    )
    return sum(filter(None, found))


async def test_what_was_answered_while_the_database_was_away_is_not_sent_again(
    pool: Pool, worker_pool: Pool, postgres: Postgres
) -> None:
    told = asyncio.Event()

    async def answer_late(_: web.Request) -> web.Response:
        await told.wait()
        return web.Response()

    async with receive(answer_late) as receiver, deliver(worker_pool):
        await register(pool, "away", receiver.url)
        await store_event(pool, *(make_event("away", number) for number in range(3)))
        await receiver.wait_for(3)
        before = answers()
        with capture_logs() as lines:
            async with shut(pool, postgres):
                told.set()
                await until(lambda: answers() == before + 3)
                failed = len(lines)
                await until(lambda: len(lines) >= failed + 4)
        await settled(pool, "away", "delivered", 3)
    assert {line["event"] for line in lines} == {"webhooks_wait_for_database"}
    assert len(receiver.received) == 3


async def test_what_a_write_that_failed_held_is_written_by_the_next(
    pool: Pool, worker_pool: Pool
) -> None:
    """Both a failure and what was given back for it, though the claims are still the worker's."""
    limits = replace(LIMITS, flying_endpoint_max=1)
    async with receive(answer_with(500)) as receiver, deliver(worker_pool, limits=limits):
        await register(pool, "kept", receiver.url)
        async with held_table(pool, ATTEMPTS):
            await store_event(pool, *(make_event("kept", number) for number in range(5)))
            await until_blocked(pool)
            receiver.answer = answer_with(204)
            await end_whoever_waits(pool)
        rows = await settled(pool, "kept", "delivered", 4)
        first, *others = [received.event_id for received in receiver.received]
        async with pool.acquire() as conn:
            (row,) = [r for r in await sql.list_deliveries(conn, "kept") if r.event_id == first]
            attempt = (await sql.list_attempts(conn, "kept", row.delivery_id))[0]
    assert (attempt.attempt, attempt.error) == (1, "HTTP 500")
    delivered = [row.event_id for row in rows if row.event_id != first]
    assert sorted(others) == sorted(delivered)


@pytest.mark.parametrize(
    ("said", "written"),
    [
        ((500, 204), ("delivered", 1, None)),
        ((204, 500), ("delivered", 1, None)),
        ((500, 503), ("pending", 1, "HTTP 503")),
    ],
)
async def test_of_two_answers_for_one_delivery_the_newer_counts_unless_the_older_delivered_it(
    pool: Pool, worker_pool: Pool, said: tuple[int, int], written: tuple[str, int, str | None]
) -> None:
    """It was sent twice, as when another worker took it over, and was stopped before it sent it."""
    loop = asyncio.get_running_loop()
    tenant = "-".join(map(str, said))
    statuses = [loop.create_future(), loop.create_future()]
    asked = iter(statuses)

    async def answer_when_told(_: web.Request) -> web.Response:
        return web.Response(status=await next(asked))

    async with receive(answer_when_told) as receiver, deliver(worker_pool):
        await register(pool, tenant, receiver.url)
        await store_event(pool, make_event(tenant))
        await receiver.wait_for(1)
        await pool.execute("UPDATE deliveries SET claimed_by = NULL")
        await receiver.wait_for(2)
        async with held_table(pool, ATTEMPTS):
            statuses[0].set_result(said[0])
            await until_blocked(pool)
            before = answers()
            statuses[1].set_result(said[1])
            await until(lambda: answers() > before)
            await end_whoever_waits(pool)
        row = await attempted(pool, tenant)
    assert (row.state, row.attempts, row.last_error) == written
