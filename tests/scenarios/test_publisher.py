"""Publishing on the real broker: what Kafka does not take holds nothing else up."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError

from agents.relay_outbox import RelayOutbox
from agents.runtime.context import Context
from agents.runtime.kafka_survey import survey_broker
from agents.runtime.kafka_topics import RECORD_BYTES_MAX, create_topics
from agents.runtime.publisher import Publisher
from devstack.kafka import Kafka
from settings.model import Settings
from sql.pool import Pool
from sql.stream import ZSTD, delete_outbox, fill_outbox, read_outbox

WAITING = "SELECT array_agg(topic) FROM outbox"


async def test_a_refused_record_does_not_spoil_those_after_it(
    kafka: str, topic_prefix: str
) -> None:
    small = await make_narrow(kafka, topic_prefix + "small")
    publisher = Publisher(Settings(kafka_bootstrap=kafka, topic_prefix=topic_prefix))
    await publisher.start()
    try:
        await publisher.publish([(small, b"k", b"one")])
        for _ in range(3):
            with pytest.raises(KafkaError):
                await publisher.publish([(small, b"k", b"x" * 5000), (small, b"k", b"lost")])
        await publisher.publish([(small, b"k", b"two"), (small, b"k", b"three")])
    finally:
        await publisher.stop()
    values = await read_all(kafka, small)
    assert [value for value in values if value != b"lost"] == [b"one", b"two", b"three"]


async def test_a_record_that_is_too_large_is_put_aside_and_the_outbox_goes_on(
    kafka: str, topic_prefix: str, pool: Pool
) -> None:
    """Too large for the topic, and for any topic; `millrace dlq redrive` publishes it later."""
    settings = Settings(kafka_bootstrap=kafka, topic_prefix=topic_prefix, topic_partitions=1)
    await create_topics(settings, ["large"])
    narrow, wide = await make_narrow(kafka, f"{topic_prefix}narrow"), f"{topic_prefix}large"
    huge = b"x" * RECORD_BYTES_MAX
    rows = [(narrow, "k", b"x" * 5000), (wide, "k", b"one"), (wide, "k", huge), (wide, "k", b"two")]
    rows += [(narrow, "k", b"small"), (wide, "k", b"three")]
    async with pool.acquire() as conn:
        await fill_outbox(conn, rows)
    await pool.execute("UPDATE outbox SET created_at = '-infinity'")
    context = Context(settings, pool, {}, Publisher(settings))
    await RelayOutbox(context).run_once()
    await context.publisher.stop()
    assert await pool.fetchval("SELECT count(*) FROM outbox") == 0
    values = [value for value in await read_all(kafka, wide) if len(value or b"") < 10]
    assert list(dict.fromkeys(values)) == [b"one", b"two", b"three"]
    letters = await pool.fetch("SELECT topic, key, payload FROM dead_letters ORDER BY id")
    assert [tuple(x) for x in letters] == [(rows[n][0], b"k", rows[n][2]) for n in (0, 2)]


async def test_records_of_a_missing_topic_wait_in_order_and_hold_no_other_up(
    kafka: str, topic_prefix: str, pool: Pool
) -> None:
    settings = Settings(kafka_bootstrap=kafka, topic_prefix=topic_prefix, topic_partitions=1)
    late, there = f"{topic_prefix}late", f"{topic_prefix}there"
    await create_topics(settings, ["there"])
    rows = [(late, "k", b"one"), (there, "k", b"two"), (late, "k", b"three")]
    rows += [(there, "k", b"three")]
    async with pool.acquire() as conn:
        await fill_outbox(conn, rows)
    await pool.execute("UPDATE outbox SET created_at = '-infinity'")
    context = Context(settings, pool, {}, Publisher(settings))
    relay = RelayOutbox(context)
    for _ in range(2):
        await relay.run_once()
        assert await pool.fetchval(WAITING) == [late] * 2
    assert await read_all(kafka, there) == [b"two", b"three"]
    await create_topics(settings, ["late"])
    await relay.run_once()
    await context.publisher.stop()
    assert await read_all(kafka, late) == [b"one", b"three"]
    assert await pool.fetchval("SELECT count(*) FROM outbox") == 0
    assert await pool.fetchval("SELECT count(*) FROM dead_letters WHERE topic = $1", late) == 0


@pytest.mark.parametrize(
    "payload",
    [b"", b'{"a":1}', b'{"a":1}' * 1000, ZSTD, ZSTD + b" no frame"],
    ids=["empty", "short", "long", "a frame's beginning", "no frame behind it"],
)
async def test_a_payload_is_read_from_the_outbox_as_it_was_written(
    pool: Pool, payload: bytes
) -> None:
    """Short ones are kept plain, and those of strangers may look like packed ones."""
    async with pool.acquire() as conn:
        [row] = await fill_outbox(conn, [("topic", "k", payload)])
        assert await read_outbox(conn, 0, 10) == [row]
        assert row.payload == payload
        await delete_outbox(conn, [row.id])


async def test_a_topic_deleted_while_running_keeps_no_other_from_the_quick_way(
    kafka: str, topic_prefix: str, pool: Pool
) -> None:
    settings = Settings(kafka_bootstrap=kafka, topic_prefix=topic_prefix, topic_partitions=1)
    gone, stays = f"{topic_prefix}gone", f"{topic_prefix}stays"
    await create_topics(settings, ["gone", "stays"])
    context = Context(settings, pool, {}, Publisher(settings))
    await context.publisher.publish([(gone, b"k", b"v"), (stays, b"k", b"one")])
    await delete_topic(kafka, gone)
    async with pool.acquire() as conn:
        rows = await fill_outbox(conn, [(gone, "k", b"v"), (stays, "k", b"three")])
    context.outlet.offer(rows)
    outlet = asyncio.create_task(context.outlet.run())
    try:
        assert await read_all(kafka, stays) == [b"one", b"three"]
        async with asyncio.timeout(30):
            while await pool.fetchval(WAITING) != [gone]:  # noqa: ASYNC110 - nothing tells
                await asyncio.sleep(0.05)
    finally:
        outlet.cancel()
        await asyncio.wait([outlet])
        await context.publisher.stop()
        await pool.execute("DELETE FROM outbox")


async def test_publishing_makes_no_topic_even_where_the_broker_would(servers_dir: Path) -> None:
    """Kafka's own default: whoever asks for a topic by name makes it."""
    with EagerKafka(servers_dir / "eager-kafka", heap_mib=128) as broker:
        settings = Settings(kafka_bootstrap=broker.bootstrap, topic_partitions=1)
        publisher = Publisher(settings)
        try:
            await create_topics(settings, ["gone"])
            await publisher.publish([("millrace.gone", b"k", b"v")])
            await delete_topic(broker.bootstrap, "millrace.gone")
            for topic in ("millrace.gone", "millrace.never", "millrace.gone"):
                with pytest.raises(KafkaError):
                    await publisher.publish([(topic, b"k", b"v")])
            assert not (await survey_broker(settings)).partitions
        finally:
            await publisher.stop()


async def test_publishing_without_a_broker_fails_each_time() -> None:
    away = Publisher(Settings(kafka_bootstrap="127.0.0.1:1"))
    for _ in range(2):
        with pytest.raises(KafkaError):
            await away.publish([("t", b"k", b"v")])
    await away.stop()


async def test_a_producer_whose_clock_is_wrong_loses_no_record(
    kafka: str, topic_prefix: str
) -> None:
    settings = Settings(kafka_bootstrap=kafka, topic_prefix=topic_prefix, topic_partitions=1)
    await create_topics(settings, ["clocks"])
    producer = AIOKafkaProducer(bootstrap_servers=kafka)
    await producer.start()
    now_ms = int(time.time() * 1000)
    try:
        for stamp_ms in (0, 10**12, now_ms + 2 * 3_600_000, now_ms + 366 * 86_400_000):
            kept = await producer.send_and_wait(topic_prefix + "clocks", b"", timestamp_ms=stamp_ms)
            # By that time Kafka decides what is too old to be kept.
            assert abs(kept.timestamp - now_ms) < 3_600_000
    finally:
        await producer.stop()


class EagerKafka(Kafka):
    """A broker that makes topics as Kafka does when it is not told otherwise."""

    name = "eager-kafka"

    def _prepare(self) -> None:
        super()._prepare()
        with self._properties.open("a") as properties:
            properties.write("auto.create.topics.enable=true\n")


async def delete_topic(kafka: str, topic: str) -> None:
    """Delete a topic, and return once nobody is told of it any more."""
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    try:
        await admin.delete_topics([topic])
        async with asyncio.timeout(30):
            while topic in await admin.list_topics():  # noqa: ASYNC110 - nothing tells
                await asyncio.sleep(0.05)
    finally:
        await admin.close()


async def make_narrow(kafka: str, topic: str) -> str:
    """Make a topic that takes records of 1,000 bytes at most."""
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    limit = {"max.message.bytes": "1000"}
    await admin.create_topics([NewTopic(topic, 1, 1, topic_configs=limit)])
    await admin.close()
    return topic


async def read_all(kafka: str, topic: str) -> list[bytes | None]:
    consumer = AIOKafkaConsumer(topic, bootstrap_servers=kafka, auto_offset_reset="earliest")
    await consumer.start()
    try:
        values: list[bytes | None] = []
        async with asyncio.timeout(30):
            while not values or values[-1] != b"three":
                values.append((await consumer.getone()).value)
        return values
    finally:
        await consumer.stop()
