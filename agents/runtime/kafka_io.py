"""Kafka beside Faust: making topics, publishing, and reading a partition out of turn."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from collections.abc import Set as AbstractSet
from contextlib import asynccontextmanager, suppress

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import (
    KafkaConnectionError,
    KafkaError,
    KafkaTimeoutError,
    TopicAlreadyExistsError,
)

from agents.runtime.faults import RETRY_S_MIN
from agents.runtime.kafka_access import ISOLATION, client_options, require_access
from agents.runtime.record import Record
from settings.model import Settings
from sql.stream import OutboxRow, Partition
from topics.blocks import BLOCKS, BlockRecord
from topics.withdrawals import WITHDRAWAL_COMMANDS

RECORD_BYTES_MAX = 16 * 1024 * 1024
"""Records are far smaller; but a single transaction can hold 4 MB of transfers."""
COMMAND_BYTES_MAX = 1024 * 1024
"""Kafka's own limit, which producers' batches keep to; what is no command is kept in Postgres."""
TOPIC_SETTINGS = {
    # Never by key: what was ordered or booked first would be dropped for what came last.
    "cleanup.policy": "delete",
    # The broker's clock, whatever a producer's says: Kafka drops what is stamped long ago before
    # anybody reads it, and refuses what is stamped more than an hour ahead.
    "message.timestamp.type": "LogAppendTime",
}
READ_TIMEOUT_MS = 1000
SHOWN_S = 10.0
"""Brokers hear a moment later of what their controller has made."""
PUBLISH_S = 60.0
"""A producer would try for ever, at the addresses it knows: brokers may have others by now."""
CLOSE_S = 10.0
"""For what a producer that is given up holds still."""


async def create_topics(settings: Settings, names: Sequence[str]) -> list[str]:
    """Make the topics that are not there yet; return their names, once brokers tell of them all.

    Raises BrokerRefused, OSError, TimeoutError if brokers do not tell of them within SHOWN_S.
    """
    await require_access(settings)
    admin = AIOKafkaAdminClient(**client_options(settings))
    await admin.start()
    try:
        wanted = {settings.topic_prefix + name for name in names}
        there = set(await admin.list_topics())
        missing = [name for name in names if settings.topic_prefix + name not in there]
        response = await admin.create_topics([_new_topic(settings, name) for name in missing])
        for topic, code, *message in response.topic_errors:
            if code not in (0, TopicAlreadyExistsError.errno):
                raise RuntimeError(f"Kafka would not make topic {topic}: {code} {message}")
        async with asyncio.timeout(SHOWN_S):
            while not wanted <= set(await admin.list_topics()):  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(RETRY_S_MIN)
        return [settings.topic_prefix + name for name in missing]
    finally:
        await admin.close()


def topic_settings(settings: Settings, name: str) -> dict[str, str]:
    """Return what the topic must be set to, by Kafka's names; `name` is without the prefix."""
    replicas = settings.topic_replication
    # Else one broker that was left alone acknowledges what is gone with its disk.
    kept_by = {} if replicas < 3 else {"min.insync.replicas": str(replicas // 2 + 1)}
    if name == WITHDRAWAL_COMMANDS.name:
        # Kafka unpacks what strangers packed and then measures it: 100 kB can hold gigabytes.
        more = {"max.message.bytes": str(COMMAND_BYTES_MAX), "compression.type": "uncompressed"}
    else:
        more = {"max.message.bytes": str(RECORD_BYTES_MAX)}
    return TOPIC_SETTINGS | kept_by | more


def _new_topic(settings: Settings, name: str) -> NewTopic:
    return NewTopic(
        settings.topic_prefix + name,
        settings.topic_partitions,
        settings.topic_replication,
        topic_configs=topic_settings(settings, name),
    )


async def read_cluster_id(settings: Settings) -> str:
    """Return Kafka's own id of the cluster: offsets mean nothing without it."""
    await require_access(settings)
    admin = AIOKafkaAdminClient(**client_options(settings))
    await admin.start()
    try:
        cluster = await admin.describe_cluster()
        return str(cluster["cluster_id"])
    finally:
        await admin.close()


class TopicMissing(KafkaError):  # type: ignore[misc]
    """Kafka has no such topic, or none that we may see; `millrace init` makes what we need."""


class Publisher:
    """Publishes and waits until every in-sync replica has it. Makes no topics.

    A producer that failed once, or did not end within PUBLISH_S, is given up: an idempotent one can
    refuse all that comes after a record the broker refused.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._producer: AIOKafkaProducer | None = None
        self._connecting = asyncio.Lock()
        self._closing: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Connect. KafkaError if no broker answers."""
        await self._connected()

    async def _connected(self) -> AIOKafkaProducer:
        async with self._connecting:
            if self._producer is None:
                producer = self._new_producer()
                try:
                    async with _bounded():
                        await producer.start()
                except BaseException:
                    await producer.stop()
                    raise
                self._producer = producer
            return self._producer

    def _new_producer(self) -> AIOKafkaProducer:
        return AIOKafkaProducer(
            **client_options(self._settings),
            acks="all",
            enable_idempotence=True,
            request_timeout_ms=10_000,
            max_request_size=RECORD_BYTES_MAX,
        )

    async def stop(self) -> None:
        """Send what is buffered, if a broker takes it, and disconnect."""
        if self._producer is not None:
            self._give_up(self._producer)
        await asyncio.gather(*self._closing)

    def _give_up(self, producer: AIOKafkaProducer) -> None:
        if self._producer is producer:
            self._producer = None
            task = asyncio.create_task(_close(producer))
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)

    async def is_connected(self) -> bool:
        """Whether a broker answers."""
        producer = await self._connected()
        try:
            await producer.client.fetch_all_metadata()
        except KafkaError:
            self._give_up(producer)  # it knows no other addresses than the ones it was told once
            raise
        return True

    async def publish(self, records: Sequence[tuple[str, bytes, bytes]]) -> None:
        """Publish (Kafka topic, key, value) records; those of one key stay in order.

        Returns once all are acknowledged. Raises if any may not have been written; the others
        may have been. TopicMissing: none was, unless a topic was deleted a moment ago.
        """
        producer = await self._connected()
        try:
            async with _bounded():
                await _require_topics(producer, {topic for topic, _, _ in records})
                sent = [await producer.send(topic, value, key=key) for topic, key, value in records]
                for result in await asyncio.gather(*sent, return_exceptions=True):
                    if isinstance(result, BaseException):
                        raise result
        except TopicMissing:
            raise
        except KafkaError:
            self._give_up(producer)
            raise

    async def publish_rows(self, rows: Sequence[OutboxRow]) -> None:
        """Publish rows of the outbox."""
        await self.publish([(row.topic, row.key.encode(), row.payload) for row in rows])

    async def publish_blocks(self, records: Sequence[BlockRecord]) -> None:
        """Publish blocks, keyed by network."""
        topic = self._settings.topic_prefix + BLOCKS.name
        await self.publish(
            [(topic, record.network.encode(), BLOCKS.encode(record)) for record in records]
        )


async def _require_topics(producer: AIOKafkaProducer, topics: AbstractSet[str]) -> None:
    """Raise TopicMissing unless Kafka has them all.

    Asked by name for a topic that is missing, brokers make one, with rules of their own; so we ask
    for all there are.
    """
    client = producer.client
    if not _missing(client, topics):
        return
    if not await client.set_topics(()):
        raise KafkaConnectionError("no broker told which topics there are")
    if missing := _missing(client, topics):
        raise TopicMissing(f"Kafka shows us no topic {', '.join(missing)}")


def _missing(client: AIOKafkaClient, topics: AbstractSet[str]) -> list[str]:
    return sorted(t for t in topics if client.cluster.partitions_for_topic(t) is None)


@asynccontextmanager
async def _bounded() -> AsyncIterator[None]:
    """Raise KafkaTimeoutError after PUBLISH_S."""
    try:
        async with asyncio.timeout(PUBLISH_S):
            yield
    except TimeoutError:
        raise KafkaTimeoutError(f"no answer of Kafka within {PUBLISH_S:g} s") from None


async def _close(producer: AIOKafkaProducer) -> None:
    """Disconnect. What others have in it is sent, if it can be, else reported to them as failed."""
    with suppress(Exception):
        async with asyncio.timeout(CLOSE_S):
            await producer.flush()
    # By itself it would wait for brokers that may never come back.
    with suppress(Exception):
        async with asyncio.timeout(CLOSE_S):
            await producer._sender.close()
    producer._message_accumulator.fail_all(KafkaConnectionError("the producer was given up"))
    with suppress(Exception):
        await producer.stop()


class KafkaLog:
    """Reads partitions beside the consumer group; see agents.runtime.run_stage.Log."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    async def bounds(self, partition: Partition) -> tuple[int, int]:
        """Return the first kept offset and the next one."""
        consumer = AIOKafkaConsumer(**client_options(self._settings))
        await consumer.start()
        try:
            target = TopicPartition(*partition)
            first = await consumer.beginning_offsets([target])
            end = await consumer.end_offsets([target])
            return first[target], end[target]
        finally:
            await consumer.stop()

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
