"""A command whose transaction waits for a worker's, which waits for it."""

from __future__ import annotations

import asyncio

import asyncpg

from cli.session import run_again
from sql.pool import Connection, Pool
from tests.support.races import be_impatient

LOCK = "SELECT pg_advisory_xact_lock($1)"
HELD = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = 1 AND granted"
AWAITED = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"


async def test_a_command_that_waited_in_a_circle_is_done_again(
    pool: Pool, database_url: str
) -> None:
    attempts: list[str] = []

    async def command() -> str:
        attempts.append("undone" if not attempts else "done")
        conn = await asyncpg.connect(database_url)
        try:
            async with conn.transaction():
                await be_impatient(conn)
                await conn.execute(LOCK, 1)
                if attempts == ["undone"]:
                    await until(conn, AWAITED)
                await conn.execute(LOCK, 2)
        finally:
            await conn.close()
        return attempts[-1]

    async with pool.acquire() as worker, worker.transaction():
        await worker.execute(LOCK, 2)
        commanding = asyncio.create_task(asyncio.to_thread(run_again, command))
        async with pool.acquire() as other:
            await until(other, HELD)
        await worker.execute(LOCK, 1)
    assert await commanding == "done"
    assert attempts == ["undone", "done"]


async def until(conn: Connection, condition: str) -> None:
    async with asyncio.timeout(20):
        while not await conn.fetchval(condition):  # noqa: ASYNC110 - a lock sets no event
            await asyncio.sleep(0.01)
