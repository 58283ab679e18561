"""How far this process's clock is from the database's. Whoever signs webhooks needs it right."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from typing import NoReturn

from agents.runtime.context import Context
from agents.runtime.faults import PASSING_FAULTS
from metrics import catalogue
from sql.health import read_server
from sql.pool import Pool

COMPARE_S = 60.0


async def compare_clocks(context: Context) -> NoReturn:
    """Show the difference once a minute; while the database is away the last one stays."""
    while True:
        with suppress(*PASSING_FAULTS):
            await show_skew(context.pool)
        await asyncio.sleep(COMPARE_S)


async def show_skew(pool: Pool, clock: Callable[[], float] = time.time) -> None:
    """Show how far `clock`, in seconds since 1970, is ahead of the database's."""
    async with pool.acquire() as conn:
        asked_at = clock()
        server = await read_server(conn)
        answered_at = clock()
    catalogue.clock_skew_seconds.set((asked_at + answered_at) / 2 - server.now.timestamp())
