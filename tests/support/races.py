"""Two transactions at once, in the order a test wants."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import pytest

from sql.pool import Connection, Pool, open_pool

ResultT = TypeVar("ResultT")

_WAITING = """
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND wait_event_type = 'Lock'
"""


async def until_blocked(
    pool: Pool, work: asyncio.Task[Any] | None = None, *, waiting: int = 1
) -> None:
    """Return when so many wait for locks in the database; AssertionError if `work` ends."""
    async with asyncio.timeout(20):
        while await pool.fetchval(_WAITING) < waiting:
            assert work is None or not work.done(), work.exception() or "it did not wait"
            await asyncio.sleep(0.01)


@asynccontextmanager
async def held_table(pool: Pool, table: str) -> AsyncIterator[None]:
    """Let nobody else read or write a table as long as this lasts."""
    async with pool.acquire() as conn, conn.transaction():
        await conn.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
        yield


async def read_patiently(
    pool: Pool, database_url: str, table: str, read: Callable[[Connection], Awaitable[ResultT]]
) -> ResultT:
    """Return what `read` returns, though a table is held for longer than others would wait.

    AssertionError if another statement on such a connection waits as long.
    """
    async with await open_pool(database_url, 2, answer_s=0.2) as hasty, hasty.acquire() as conn:
        async with held_table(pool, table):
            reading = asyncio.ensure_future(read(conn))
            await until_blocked(pool)
            with pytest.raises(TimeoutError):
                await hasty.execute(f"SELECT FROM {table}")
            assert not reading.done()
        return await reading


async def be_impatient(conn: Connection) -> None:
    """Be the one who gives up if this transaction waits in a circle with others."""
    await conn.execute("SET LOCAL deadlock_timeout = '1ms'")
