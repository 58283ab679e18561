"""outbox → Kafka, the sure way: publishes what nobody has published for a while.

At least once: a crash between publishing and deleting publishes again. A worker publishes its own
records right after its commit (agents.runtime.outlet); here comes what it could not, and what was
written by others than workers.
"""

from __future__ import annotations

from collections.abc import Sequence

import structlog
from aiokafka.errors import KafkaError, MessageSizeTooLargeError

from agents.runtime.context import Context
from agents.runtime.loop import Loop
from metrics import catalogue
from sql import stream
from sql.pool import Connection
from sql.stream import NOWHERE, DeadLetter, OutboxRow

log = structlog.get_logger(__name__)

BATCH_ROWS_MAX = 500
OLDER_THAN_S = 1.0


class RelayOutbox(Loop):
    """Publishes the outbox in order; one at a time by its lease.

    Rows of a topic that takes none now, as one that was deleted, stay and hold up no other topic.
    """

    name = "relay_outbox"
    every_s = 0.25

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._held: set[str] = set()
        """Topics that took nothing the last time."""

    async def run_once(self) -> None:
        """Publish all that is due; a fault leaves the rows where they are."""
        held: set[str] = set()
        async with self.context.pool.acquire() as conn:
            while rows := await stream.read_outbox(conn, OLDER_THAN_S, BATCH_ROWS_MAX, held):
                try:
                    await self._publish(conn, rows)
                except KafkaError:
                    await self.context.publisher.start()  # raises if it is Kafka that is away
                    held |= await self._publish_by_topic(conn, rows)
        self._held = held

    async def _publish(self, conn: Connection, rows: Sequence[OutboxRow]) -> None:
        await self.context.publisher.publish_rows(rows)
        await stream.delete_outbox(conn, [row.id for row in rows])
        for row in rows:
            catalogue.outbox_published_total.labels(row.topic).inc()

    async def _publish_by_topic(self, conn: Connection, rows: Sequence[OutboxRow]) -> set[str]:
        """Publish topic by topic; return those that take nothing."""
        held = set()
        for topic in {row.topic: None for row in rows}:
            try:
                await self._publish_topic(conn, [row for row in rows if row.topic == topic])
            except KafkaError as fault:
                held.add(topic)
                if topic not in self._held:
                    log.error("topic takes no records, they wait", topic=topic, fault=repr(fault))
        return held

    async def _publish_topic(self, conn: Connection, rows: Sequence[OutboxRow]) -> None:
        """Publish rows of one topic. What is too large is put aside, or the rest would wait."""
        try:
            await self._publish(conn, rows)
        except MessageSizeTooLargeError:
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
            self.name, row.topic, NOWHERE, row.id, row.key.encode(), row.payload, error
        )
        await stream.park_records(conn, [letter])
        await stream.delete_outbox(conn, [row.id])
        catalogue.dead_letters_total.labels(self.name).inc()
