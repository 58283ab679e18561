"""Two transactions at once, in the order a test wants."""

from __future__ import annotations

import asyncio
from typing import Any

from sql.pool import Connection, Pool

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


async def be_impatient(conn: Connection) -> None:
    """Be the one who gives up if this transaction waits in a circle with others."""
    await conn.execute("SET LOCAL deadlock_timeout = '1ms'")
