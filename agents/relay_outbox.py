"""outbox → Kafka: publishes what was committed, in order, and deletes it once Kafka has it.

At least once: a crash between the two publishes again. Woken by LISTEN/NOTIFY, and by the clock in
case a notification is lost.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Protocol

from metrics import catalogue
from sql import stream
from sql.pool import Pool
from sql.stream import OutboxRow

BATCH_ROWS_MAX = 500
WAKE_S_MAX = 1.0


class PublishRows(Protocol):
    """Publishes rows in order and returns once Kafka has acknowledged all of them."""

    async def __call__(self, rows: Sequence[OutboxRow]) -> None:
        """Raise if any row may not have been written."""
        ...


class RelayOutbox:
    """Publishes the outbox for as long as it runs; one at a time by a lease keeps the order."""

    def __init__(self, pool: Pool, publish: PublishRows) -> None:
        self._pool = pool
        self._publish = publish

    async def run(self) -> None:
        """Publish until cancelled; any fault is raised and leaves the rows where they are."""
        wake = asyncio.Event()
        async with self._pool.acquire() as conn:
            await conn.add_listener("outbox", lambda *_: wake.set())
            while True:
                wake.clear()
                while rows := await stream.read_outbox(conn, BATCH_ROWS_MAX):
                    await self._publish(rows)
                    await stream.delete_outbox(conn, [row.id for row in rows])
                    for row in rows:
                        catalogue.outbox_published_total.labels(row.topic).inc()
                await _wait(wake)


async def _wait(wake: asyncio.Event) -> None:
    try:
        await asyncio.wait_for(wake.wait(), WAKE_S_MAX)
    except TimeoutError:
        return
