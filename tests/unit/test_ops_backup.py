"""The dump and restore of docs/operations.md, by its own commands, on the real database."""

from __future__ import annotations

from collections.abc import AsyncIterator

import asyncpg
import pytest

from devstack.postgres import Postgres
from ledger.entries import Outcome
from ledger.post import post
from ledger.rules import deposit_credited
from sql.pool import Connection, Pool
from tests.conftest import execute
from tests.support.backup import MANUAL, run_manual

RESTORED = "restored_backup"
SEED = """
INSERT INTO tenants (tenant, name) VALUES ('acme', 'Acme');
INSERT INTO networks (network, kind, native_asset, confirmations)
VALUES ('eip155:1', 'ethereum', 'ETH', 3);
INSERT INTO assets (asset, network, decimals) VALUES ('ETH', 'eip155:1', 18);
"""
CREDITS = [
    deposit_credited("acme", f"user{n % 3}", "ETH", 10**30 + n, deposit_id=n, revision=0)
    for n in range(20)
]


async def _contents(conn: Connection) -> dict[str, list[str]]:
    """Every row of every table and every sequence, as text."""
    names = await conn.fetch("SELECT format('%I.%I', schemaname, relname) FROM pg_stat_user_tables")
    sequences = "SELECT format('%s %s', sequencename, last_value) FROM pg_sequences"
    selects = {name: f"SELECT t::text FROM {name} AS t" for (name,) in names}
    return {
        name: sorted(row[0] for row in await conn.fetch(select))
        for name, select in (selects | {"sequences": sequences}).items()
    }


@pytest.fixture(scope="module")
async def restored(
    postgres: Postgres, pool: Pool, database_url: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Connection]:
    """A database restored from a dump of one with money in it."""
    folder = tmp_path_factory.mktemp("backup")
    async with pool.acquire() as conn:
        await conn.execute(SEED)
        async with conn.transaction():
            await post(conn, CREDITS)
    run_manual("pg_dump", database_url, folder)
    await execute(postgres, f"CREATE DATABASE {RESTORED}")
    run_manual("pg_restore", postgres.url_of(RESTORED), folder)
    copy = await asyncpg.connect(postgres.url_of(RESTORED))
    yield copy
    await copy.close()
    await execute(postgres, f"DROP DATABASE {RESTORED} WITH (FORCE)")


def test_no_command_of_the_manual_has_a_password_on_its_line() -> None:
    assert "DATABASE_URL" not in " ".join(
        line for line in MANUAL.splitlines() if line.strip().startswith("pg_") or "psql" in line
    )


async def test_a_restored_dump_is_the_database_that_was(restored: Connection, pool: Pool) -> None:
    async with pool.acquire() as conn:
        expected = await _contents(conn)
    assert await _contents(restored) == expected
    assert len(expected["public.accounts"]) == 4


async def test_the_restored_ledger_still_refuses_to_forget(restored: Connection) -> None:
    tables = await restored.fetch("SELECT relname FROM pg_class WHERE relname LIKE 'journal%'")
    assert tables
    with pytest.raises(asyncpg.PostgresError, match="journal"):
        await restored.execute("DELETE FROM journal_lines")


async def test_the_restored_ledger_goes_on_and_credits_nothing_twice(
    restored: Connection,
) -> None:
    fresh = deposit_credited("acme", "user1", "ETH", 7, deposit_id=99, revision=0)
    async with restored.transaction():
        results = await post(restored, [*CREDITS, fresh])
    assert [result.outcome for result in results[:-1]] == [Outcome.DUPLICATE] * len(CREDITS)
    assert results[-1].outcome is Outcome.POSTED
