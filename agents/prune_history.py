"""Forgets what was kept long enough, a batch at a time so that nobody waits for it.

What moves money (blocks near the tip, deposits, withdrawals, journal, accounts) is not touched.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

import structlog

from agents.runtime.context import Context
from agents.runtime.loop import Loop
from sql import history, notifications
from sql.pool import Connection

log = structlog.get_logger(__name__)

Prune = Callable[[Connection, datetime, int], Awaitable[int]]
"""Deletes at most so many rows from before a moment, and returns how many there were."""

KEPT: dict[str, tuple[timedelta, Prune]] = {
    # As the documentation of webhooks promises; the last retry is over in less than four days.
    "events": (timedelta(days=30), notifications.prune_events),
    # A quarter, so that an audit at its end can still see what was put aside and done again.
    "dead_letters": (timedelta(days=90), history.prune_dead_letters),
    "reconciliations": (timedelta(days=90), history.prune_runs),
}
"""How long each kind is kept, and what forgets it."""

BATCH_ROWS = 1_000
BATCH_PAUSE_S = 0.1


class PruneHistory(Loop):
    """Goes through all kinds once an hour."""

    name = "prune_history"
    every_s = 3600.0

    def __init__(self, context: Context, batch_rows: int = BATCH_ROWS) -> None:
        super().__init__(context)
        self._batch_rows = batch_rows

    async def run_once(self) -> None:
        """Forget everything that is due."""
        async with self.context.pool.acquire() as conn:
            now = await history.tell_time(conn)
        for kind, (age, prune) in KEPT.items():
            rows = await self._prune(prune, now - age)
            if rows:
                log.info("history pruned", kind=kind, rows=rows, older_than_days=age.days)

    async def _prune(self, prune: Prune, before: datetime) -> int:
        total = 0
        while rows := await self._prune_batch(prune, before):
            total += rows
            if rows < self._batch_rows:
                break
            await asyncio.sleep(BATCH_PAUSE_S)
        return total

    async def _prune_batch(self, prune: Prune, before: datetime) -> int:
        async with self.context.pool.acquire() as conn:
            return await prune(conn, before, self._batch_rows)
