"""What is asked every few seconds, or in trouble, reads what is open and not what has been."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import cramjam
import pytest

from sql import attempts, history, measures, notifications, reconciliation, stream, transactions
from sql.pool import Connection, Pool, open_pool
from tests.support.races import read_patiently

NETWORK = "test:large"
ROWS = 20_000
"""Of each table, nearly all of them done with long ago."""
FEW = 500
"""Rows read at most, of each table, by who needs ten or so."""
NOW = datetime.now(UTC)
OLD = NOW - timedelta(days=200)

FILL = f"""
SET LOCAL session_replication_role = replica; -- balances and guards are not what is tested
INSERT INTO tenants (tenant, name, wallet_index) VALUES ('acme', 'Acme', 1);
INSERT INTO networks VALUES ('{NETWORK}', 'simulated', 'COIN', 3, 'depth');
INSERT INTO assets (asset, network, decimals) VALUES ('COIN', '{NETWORK}', 8);
INSERT INTO cursors (network, height, node_height, matched_height, settled_height)
VALUES ('{NETWORK}', {ROWS}, {ROWS}, {ROWS}, {ROWS});
INSERT INTO blocks SELECT '{NETWORK}', n, 'block ' || n, '', n, true
FROM generate_series(1, {ROWS}) AS n;
INSERT INTO withdrawals (
    withdrawal_id, tenant, idempotency_key, request_hash, owner, asset, network, address,
    amount_minor, fee_minor, status, decided_by, sender, nonce
) OVERRIDING SYSTEM VALUE
SELECT n, 'acme', n, '', 'alice', 'COIN', '{NETWORK}', 'there', 1, 0,
    CASE WHEN n <= {ROWS} THEN 'confirmed' ELSE 'broadcast' END, 'limits', 'hot', n
FROM generate_series(1, {ROWS} + 10) AS n;
INSERT INTO transactions (
    network, transaction_id, withdrawal_id, sender, nonce, attempt, unsigned, raw, fee_minor_max,
    state, height, block_id, succeeded, fee_minor, confirm_height, mined_at, first_sent_at
)
SELECT '{NETWORK}', 'tx ' || n, n, 'hot', n, 0, 'u', 'r', 1, 'mined', n, 'block ' || n, true, 1,
    n + 3, '2020-01-01', '2020-01-01'
FROM generate_series(1, {ROWS}) AS n;
INSERT INTO transactions (
    network, transaction_id, withdrawal_id, sender, nonce, attempt, unsigned, raw, fee_minor_max,
    state, first_sent_at, last_sent_at
)
SELECT '{NETWORK}', 'tx ' || n, n, 'hot', n, 0, 'u', 'r', 1, 'broadcast', '2020-01-01', '2020-01-01'
FROM generate_series({ROWS} + 1, {ROWS} + 10) AS n;
INSERT INTO reconciliations (
    run_id, network, height, block_id, settled, figures, started_at, finished_at
) OVERRIDING SYSTEM VALUE
SELECT n, CASE n % 2 WHEN 0 THEN '{NETWORK}' END, CASE n % 2 WHEN 0 THEN n END,
    CASE n % 2 WHEN 0 THEN 'block' END, n <= {ROWS} - 2, 1, '2020-01-01', '2020-01-01'
FROM generate_series(1, {ROWS}) AS n;
INSERT INTO dead_letters (stage, topic, partition, record_offset, error, created_at, closed_at)
SELECT 'stage', 'topic', 0, n, '', '2020-01-01',
    CASE WHEN n <= {ROWS} - 10 THEN date '2020-01-02' END
FROM generate_series(1, {ROWS}) AS n;
INSERT INTO endpoints (endpoint_id, tenant, url, secret, created_at)
VALUES ('ep', 'acme', 'https://there', '', '2020-01-01');
INSERT INTO events
SELECT 'evt ' || n, 'acme', 'type', '', '2020-01-01'::timestamptz + n * interval '1 second'
FROM generate_series(1, {ROWS}) AS n;
INSERT INTO deliveries (event_id, endpoint_id, state, next_attempt_at)
SELECT 'evt ' || n, 'ep',
    CASE WHEN n = 5 THEN 'failed' WHEN n = 6 THEN 'pending' ELSE 'delivered' END, '2020-01-01'
FROM generate_series(1, {ROWS}) AS n;
INSERT INTO outbox (topic, key, payload, created_at)
SELECT 'topic', '', '\\x{bytes(cramjam.zstd.compress(b"")).hex()}', '2020-01-01'
FROM generate_series(1, {ROWS}) AS n;
"""

READ = """
SELECT relname, seq_tup_read + coalesce(idx_tup_fetch, 0) AS rows_read
FROM pg_stat_xact_user_tables WHERE seq_tup_read + coalesce(idx_tup_fetch, 0) > 0
"""


@pytest.fixture(scope="module")
async def filled(pool: Pool) -> Pool:
    """The module's database, full of what is over."""
    async with pool.acquire() as conn:
        async with conn.transaction():
            await conn.execute(FILL)
        await conn.execute("ANALYZE")
    return pool


@pytest.fixture
async def worker(filled: Pool, database_url: str) -> AsyncIterator[Connection]:
    """A connection as the workers have them, and what it writes is not kept."""
    async with (
        await open_pool(database_url, 1, keeps_plans=True) as pool,
        pool.acquire() as conn,
    ):
        changes = conn.transaction()
        await changes.start()
        yield conn
        await changes.rollback()


ASKED_BY_WORKERS: dict[str, Callable[[Connection], Awaitable[Any]]] = {
    "what needs another transaction": lambda conn: attempts.stuck_transactions(
        conn, NETWORK, final_clock=None, after_s=60
    ),
    "what left the chain": lambda conn: transactions.unmine_transactions(conn, NETWORK, 64),
    "what withdrawals wait for": measures.measure_withdrawals,
    "what reconciliations found": measures.measure_reconciliations,
    "the newest reconciliations": lambda conn: reconciliation.last_runs(conn, settled_only=True),
    "old dead letters": lambda conn: history.prune_dead_letters(conn, OLD, 10),
    "old reconciliations": lambda conn: history.prune_runs(conn, OLD, 10),
    "the next to be published": lambda conn: stream.read_outbox(conn, 1, 10),
    "old events": lambda conn: notifications.prune_events(conn, OLD, 10),
}


@pytest.mark.parametrize("what", ASKED_BY_WORKERS)
async def test_workers_read_no_more_of_what_is_over_than_they_need(
    worker: Connection, what: str
) -> None:
    await ASKED_BY_WORKERS[what](worker)
    rows_read = {row["relname"]: row["rows_read"] for row in await worker.fetch(READ)}
    assert rows_read
    assert {table: rows for table, rows in rows_read.items() if rows > FEW} == {}


async def test_operators_find_the_few_deliveries_that_failed_without_reading_all(
    filled: Pool,
) -> None:
    async with filled.acquire() as conn, conn.transaction():
        assert await notifications.list_deliveries(conn, "acme", state="failed")
        rows_read = {row["relname"]: row["rows_read"] for row in await conn.fetch(READ)}
    assert {table: rows for table, rows in rows_read.items() if rows > FEW} == {}


async def test_the_newest_settled_run_of_each_is_found(worker: Connection) -> None:
    settled = await reconciliation.last_runs(worker, settled_only=True)
    assert [(run.network, run.run_id) for run in settled] == [(None, ROWS - 3), (NETWORK, ROWS - 2)]
    newest = await reconciliation.last_runs(worker)
    assert [(run.network, run.run_id) for run in newest] == [(None, ROWS - 1), (NETWORK, ROWS)]
    measured = await measures.measure_reconciliations(worker)
    assert {run.network for run in measured} == {None, NETWORK}


async def test_what_needs_another_transaction_waits_for_the_nonce_before_it(
    worker: Connection,
) -> None:
    async def stuck() -> list[int]:
        found = await attempts.stuck_transactions(worker, NETWORK, final_clock=None, after_s=60)
        return [one.withdrawal_id for one in found]

    assert await stuck() == [ROWS + 1]
    await worker.execute("UPDATE transactions SET mined_at = now() WHERE nonce = $1", ROWS)
    assert await stuck() == []


@pytest.mark.parametrize("deep", [0, 64])
async def test_a_payment_is_taken_back_though_the_chain_was_searched_further_since(
    worker: Connection, deep: int
) -> None:
    """As after a reorganisation that came between the search and the note of how far it went."""
    await worker.execute("DELETE FROM blocks WHERE height = $1", ROWS - deep)
    taken = await transactions.unmine_transactions(worker, NETWORK, 64)
    assert list(taken) == [ROWS - deep]


async def test_what_is_still_to_be_delivered_outlives_its_time(worker: Connection) -> None:
    while await notifications.prune_events(worker, NOW, 9_000):
        pass
    kept = await worker.fetch("SELECT event_id FROM events")
    assert [row["event_id"] for row in kept] == ["evt 6"]


async def _compare_addresses(conn: Connection) -> object:
    figures, _ = await reconciliation.address_figures(
        conn, NETWORK, ROWS, first_serial=1, stretch=1, limit_rows=None, only=None
    )
    return figures


async def _compare_wallets(conn: Connection) -> object:
    return await reconciliation.wallet_figures(
        conn, NETWORK, ROWS, overdue_before=OLD, overdue_below_height=0
    )


@pytest.mark.parametrize("compare", [_compare_addresses, _compare_wallets])
async def test_all_deposits_are_compared_however_long_that_takes(
    filled: Pool, database_url: str, compare: Callable[[Connection], Awaitable[object]]
) -> None:
    """Workers give other statements up in time: their server may be gone without a word."""
    await read_patiently(filled, database_url, "deposits", compare)
