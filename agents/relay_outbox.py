"""outbox → Kafka, the sure way: publishes what nobody has published for a while.

At least once: a crash between publishing and deleting publishes again. A worker publishes its own
records right after its commit (agents.runtime.outlet); here comes what it could not, and what was
written by others than workers.
"""

from __future__ import annotations

from collections.abc import Sequence

import structlog
from aiokafka.errors import MessageSizeTooLargeError

from agents.runtime.loop import Loop
from metrics import catalogue
from sql import stream
from sql.pool import Connection
from sql.stream import DeadLetter, OutboxRow

log = structlog.get_logger(__name__)

BATCH_ROWS_MAX = 500
OLDER_THAN_S = 1.0
NO_PARTITION = -1


class RelayOutbox(Loop):
    """Publishes the outbox in order; one at a time by its lease."""

    name = "relay_outbox"
    every_s = 0.25

    async def run_once(self) -> None:
        """Publish all that is due; a fault leaves the rows where they are."""
        async with self.context.pool.acquire() as conn:
            while rows := await stream.read_outbox(conn, OLDER_THAN_S, BATCH_ROWS_MAX):
                try:
                    await self._publish(conn, rows)
                except MessageSizeTooLargeError:
                    await self._sort_out(conn, rows)

    async def _publish(self, conn: Connection, rows: Sequence[OutboxRow]) -> None:
        await self.context.publisher.publish_rows(rows)
        await stream.delete_outbox(conn, [row.id for row in rows])
        for row in rows:
            catalogue.outbox_published_total.labels(row.topic).inc()

    async def _sort_out(self, conn: Connection, rows: Sequence[OutboxRow]) -> None:
        """Publish one by one. What Kafka will not take is put aside, or the rest would wait."""
        for row in rows:
            try:
                await self._publish(conn, [row])
            except MessageSizeTooLargeError:
                await self._park(conn, row)

    async def _park(self, conn: Connection, row: OutboxRow) -> None:
        error = (
            f"{len(row.payload)} bytes are more than Kafka takes: max.message.bytes of the topic"
        )
        log.error("record parked", stage=self.name, topic=row.topic, error=error)
        letter = DeadLetter(
            self.name, row.topic, NO_PARTITION, row.id, row.key.encode(), row.payload, error
        )
        await stream.park_records(conn, [letter])
        await stream.delete_outbox(conn, [row.id])
        catalogue.dead_letters_total.labels(self.name).inc()
