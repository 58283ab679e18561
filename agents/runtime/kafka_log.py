"""Reading a partition of Kafka's log out of turn."""

from __future__ import annotations

from aiokafka import AIOKafkaConsumer, TopicPartition

from agents.runtime.kafka_access import ISOLATION, client_options
from agents.runtime.kafka_survey import read_bounds
from agents.runtime.record import Record
from settings.model import Settings
from sql.stream import Partition

READ_TIMEOUT_MS = 1000


class KafkaLog:
    """Reads partitions beside the consumer group; see agents.runtime.record.Log."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    async def bounds(self, partition: Partition) -> tuple[int, int]:
        """Return the first kept offset and the next one."""
        (kept,) = (await read_bounds(self._settings, [partition])).values()
        return kept

    async def read(
        self, partition: Partition, start: int, end: int, records_max: int
    ) -> list[Record]:
        """Return up to `records_max` records from `start` up to, not including, `end`.

        Waits for the end of a transaction that is open there. Raises OffsetOutOfRangeError if Kafka
        does not keep `start` any more.
        """
        consumer = AIOKafkaConsumer(
            **client_options(self._settings),
            enable_auto_commit=False,
            auto_offset_reset="none",
            isolation_level=ISOLATION,
        )
        await consumer.start()
        try:
            target = TopicPartition(*partition)
            consumer.assign([target])
            consumer.seek(target, start)
            records: list[Record] = []
            while len(records) < records_max and await consumer.position(target) < end:
                batches = await consumer.getmany(
                    target, timeout_ms=READ_TIMEOUT_MS, max_records=records_max - len(records)
                )
                records += [
                    Record(m.topic, m.partition, m.offset, m.key, m.value, m.timestamp / 1000)
                    for m in batches.get(target, [])
                    if m.offset < end
                ]
            return records
        finally:
            await consumer.stop()
