"""outbox → Kafka, the sure way: publishes what nobody has published for a while.

At least once: a crash between publishing and deleting publishes again. A worker publishes its own
records right after its commit (agents.runtime.outlet); here comes what it could not, and what was
written by others than workers.
"""

from __future__ import annotations

from agents.runtime.loop import Loop
from metrics import catalogue
from sql import stream

BATCH_ROWS_MAX = 500
OLDER_THAN_S = 1.0


class RelayOutbox(Loop):
    """Publishes the outbox in order; one at a time by its lease."""

    name = "relay_outbox"
    every_s = 0.25

    async def run_once(self) -> None:
        """Publish all that is due; a fault leaves the rows where they are."""
        async with self.context.pool.acquire() as conn:
            while rows := await stream.read_outbox(conn, OLDER_THAN_S, BATCH_ROWS_MAX):
                await self.context.publisher.publish_rows(rows)
                await stream.delete_outbox(conn, [row.id for row in rows])
                for row in rows:
                    catalogue.outbox_published_total.labels(row.topic).inc()
