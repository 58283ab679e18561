"""outbox → Kafka, the quick way: a worker publishes what it has just committed.

What it cannot publish (Kafka is away, the worker dies) stays in the outbox, where relay_outbox
finds it. No topic waits for another. Within one, order is kept as long as nothing fails; readers do
not rely on it.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from typing import NoReturn, Protocol

import structlog

from agents.runtime.faults import PASSING_FAULTS
from metrics import catalogue
from sql import stream
from sql.pool import Pool
from sql.stream import OutboxRow

log = structlog.get_logger(__name__)

WAITING_ROWS_MAX = 10_000
DELETE_EVERY_S = 0.1


class PublishRows(Protocol):
    """Publishes rows in order and returns once Kafka has acknowledged all of them."""

    async def __call__(self, rows: Sequence[OutboxRow]) -> None:
        """Raise if any row may not have been written."""
        ...


class Outlet:
    """Publishes rows of the outbox in the background and deletes them once Kafka has them."""

    def __init__(self, pool: Pool, publish: PublishRows) -> None:
        self._pool = pool
        self._publish = publish
        self._waiting: dict[str, list[OutboxRow]] = defaultdict(list)
        self._busy: set[str] = set()
        """Topics that a task of their own publishes to."""
        self._published: list[int] = []
        self._wake = asyncio.Event()

    def offer(self, rows: Sequence[OutboxRow]) -> None:
        """Publish rows soon. They must be committed. More than can be held is left to the relay."""
        for row in rows:
            waiting = self._waiting[row.topic]
            if len(waiting) < WAITING_ROWS_MAX:
                waiting.append(row)
        self._wake.set()

    async def run(self) -> NoReturn:
        """Publish until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._delete_published())
            while True:
                await self._wake.wait()
                self._wake.clear()
                for topic in self._waiting.keys() - self._busy:
                    self._busy.add(topic)
                    tasks.create_task(self._empty(topic))

    async def _empty(self, topic: str) -> None:
        while rows := self._waiting.pop(topic, None):
            await self._try_publish(rows)
        self._busy.discard(topic)

    async def _try_publish(self, rows: Sequence[OutboxRow]) -> None:
        try:
            await self._publish(rows)
        except PASSING_FAULTS as fault:
            log.warning("left to the relay", rows=len(rows), fault=repr(fault)[:300])
            return
        self._published += [row.id for row in rows]
        for row in rows:
            catalogue.outbox_published_total.labels(row.topic).inc()

    async def _delete_published(self) -> NoReturn:
        """Delete in bunches: off the path of the records, and few transactions."""
        while True:
            await asyncio.sleep(DELETE_EVERY_S)
            ids, self._published = self._published, []
            if not ids:
                continue
            try:
                async with self._pool.acquire() as conn:
                    await stream.delete_outbox(conn, ids)
            except PASSING_FAULTS as fault:
                self._published += ids
                log.warning("published rows stay", rows=len(ids), fault=repr(fault)[:300])
