"""Publishing to Kafka, beside Faust."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from collections.abc import Set as AbstractSet
from contextlib import asynccontextmanager, suppress

from aiokafka import AIOKafkaProducer
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaConnectionError, KafkaError, KafkaTimeoutError

from agents.runtime.kafka_access import client_options
from agents.runtime.kafka_topics import RECORD_BYTES_MAX
from settings.model import Settings
from sql.stream import OutboxRow
from topics.blocks import BLOCKS, BlockRecord

PUBLISH_S = 60.0
"""A producer would try for ever, at the addresses it knows: brokers may have others by now."""
CLOSE_S = 10.0
"""For what a producer that is given up holds still."""


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

    async def require_answer(self) -> None:
        """Raise KafkaError unless a broker answers."""
        producer = await self._connected()
        try:
            await producer.client.fetch_all_metadata()
        except KafkaError:
            self._give_up(producer)  # it knows no other addresses than the ones it was told once
            raise

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
