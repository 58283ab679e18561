"""The pipeline on an in-memory Kafka: real stages and Postgres, delivered as a test orders."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any
from uuid import uuid4

from agents.follow_chain import FollowChain, lease_name
from agents.runtime.context import Context
from agents.runtime.record import Record
from agents.runtime.run_stage import StageRunner
from agents.runtime.stage import Stage
from sql import stream
from sql.pool import Pool
from sql.stream import OutboxRow, Partition
from topics.blocks import BLOCKS, BlockRecord

Deliver = Callable[[Sequence[Record]], Sequence[Sequence[Record]]]
"""Cuts the new records of a topic into batches for a stage; may repeat and reorder them."""


def in_order(records: Sequence[Record]) -> Sequence[Sequence[Record]]:
    """Deliver everything once, in order, in one batch."""
    return [records]


class MemoryKafka:
    """Topics of one partition. Passes for agents.runtime.run_stage.Log and for both publishers."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.topics: dict[str, list[Record]] = defaultdict(list)

    def append(self, topic: str, key: bytes | None, value: bytes | None) -> None:
        """Add a record; `topic` is the Kafka name."""
        log = self.topics[topic]
        log.append(Record(topic, 0, len(log), key, value, time.time()))

    async def publish_rows(self, rows: Sequence[OutboxRow]) -> None:
        """Publish rows of the outbox."""
        for row in rows:
            self.append(row.topic, row.key.encode(), row.payload)

    async def publish_blocks(self, records: Sequence[BlockRecord]) -> None:
        """Publish blocks."""
        for record in records:
            self.append(self.prefix + BLOCKS.name, record.network.encode(), BLOCKS.encode(record))

    async def bounds(self, partition: Partition) -> tuple[int, int]:
        """Return the offsets that are kept."""
        return 0, len(self.topics[partition[0]])

    async def read(
        self, partition: Partition, start: int, end: int, records_max: int
    ) -> list[Record]:
        """Return records beside any group."""
        return self.topics[partition[0]][start:end][:records_max]


class Pipeline:
    """Some stages and the relay; `settle` runs them until nothing moves."""

    def __init__(self, context: Context, stages: Sequence[Stage[Any, Any]]) -> None:
        self.context = context
        self.pool: Pool = context.pool
        self.kafka = MemoryKafka(context.settings.topic_prefix)
        self.stages = stages
        self.cluster_id = uuid4().hex
        self.done: dict[str, int] = defaultdict(int)
        self.deliver: Deliver = in_order
        self.offsets: dict[str, int] = defaultdict(int)

    async def start(self) -> None:
        """Load what stages keep in memory; again after a pretended restart."""
        self.runners = [
            StageRunner(stage, self.context, self.cluster_id, self.kafka) for stage in self.stages
        ]
        for stage in self.stages:
            await stage.start()

    async def settle(self) -> None:
        """Relay and run stages until the outbox is empty and every record is done."""
        while await self.relay() + await self.step():
            pass

    async def relay(self) -> int:
        """Publish the outbox."""
        async with self.pool.acquire() as conn:
            rows = await stream.read_outbox(conn, 0, 10_000)
            await self.kafka.publish_rows(rows)
            await stream.delete_outbox(conn, [row.id for row in rows])
        return len(rows)

    async def step(self) -> int:
        """Give each stage what is new on its topic."""
        moved = 0
        for runner in self.runners:
            stage = runner.stage
            log = self.kafka.topics[self.kafka.prefix + stage.topic.name]
            fresh = log[self.done[stage.name] :]
            self.done[stage.name] = len(log)
            for batch in self.deliver(fresh) if fresh else []:
                await runner.run([self._numbered(stage.name, record) for record in batch])
            moved += len(fresh)
        return moved

    def _numbered(self, stage: str, record: Record) -> Record:
        """Give the record the stage's next offset: the inbox is to see nothing of the disorder."""
        self.offsets[stage] += 1
        return record._replace(offset=self.offsets[stage] - 1)

    async def follower(self, network: str) -> FollowChain:
        """Return a follower that holds its lease for an hour."""
        holder = uuid4()
        async with self.pool.acquire() as conn:
            await conn.execute("DELETE FROM leases WHERE name = $1", lease_name(network))
            await stream.take_lease(conn, lease_name(network), holder, 3600)
        return FollowChain(
            self.context.settings.network(network),
            self.context.adapters[network],
            self.pool,
            self.kafka.publish_blocks,
            holder=holder,
            topic_prefix=self.kafka.prefix,
        )
