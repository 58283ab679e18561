"""What is old enough is forgotten, and nothing else."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from agents import prune_history
from agents.prune_history import KEPT, PruneHistory
from sql.pool import Pool
from tests.support.books import Books
from tests.support.clocks import put_ahead

ADD = {
    "events": "INSERT INTO events (event_id, tenant, type, payload, created_at)"
    " SELECT 'evt_' || $2 || n, $1, 't', '', $3 FROM generate_series(1, 5) AS n",
    "dead_letters": "INSERT INTO dead_letters (stage, topic, partition, record_offset, error,"
    " created_at, closed_at) SELECT $1, $2, 0, n, '', $3, $3 FROM generate_series(1, 5) AS n",
    "reconciliations": "INSERT INTO reconciliations (settled, figures, started_at, finished_at)"
    " SELECT $1 || $2 <> '', n, $3, $3 FROM generate_series(1, 5) AS n",
}


@pytest.fixture
async def books(pool: Pool, database_url: str) -> Books:
    made = Books(pool, database_url)
    await made.start()
    return made


@pytest.mark.parametrize("kind", sorted(KEPT))
async def test_what_is_past_its_time_is_forgotten_batch_by_batch(books: Books, kind: str) -> None:
    now = datetime.now(UTC)
    age, _ = KEPT[kind]
    table = "SELECT count(*) FROM " + kind
    async with books.pool.acquire() as conn:
        before = await conn.fetchval(table)
        await conn.execute(ADD[kind], books.tenant, "old", now - age - timedelta(hours=1))
        await conn.execute(ADD[kind], books.tenant, "new", now - age + timedelta(hours=1))
    await PruneHistory(books.pipeline.context, batch_rows=2).run_once()
    async with books.pool.acquire() as conn:
        assert await conn.fetchval(table) == before + 5


async def test_what_is_past_its_time_is_told_by_the_database_s_clock(
    books: Books, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_ahead(monkeypatch, prune_history)
    async with books.pool.acquire() as conn:
        await conn.execute(ADD["events"], books.tenant, "kept", datetime.now(UTC))
    await PruneHistory(books.pipeline.context).run_once()
    async with books.pool.acquire() as conn:
        kept = await conn.fetchval(
            "SELECT count(*) FROM events WHERE event_id LIKE 'evt_kept%' AND tenant = $1",
            books.tenant,
        )
    assert kept == 5


async def test_open_dead_letters_are_kept_for_ever(books: Books) -> None:
    async with books.pool.acquire() as conn:
        await conn.execute(
            "INSERT INTO dead_letters (stage, topic, partition, record_offset, error, created_at)"
            " VALUES ($1, 't', 0, 0, '', '2020-01-01')",
            books.tenant,
        )
    await PruneHistory(books.pipeline.context).run_once()
    async with books.pool.acquire() as conn:
        kept = await conn.fetchval(
            "SELECT count(*) FROM dead_letters WHERE stage = $1", books.tenant
        )
    assert kept == 1
