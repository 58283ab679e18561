"""Producers compress as they like: what no worker could unpack would stop all behind it."""

from __future__ import annotations

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.errors import MessageSizeTooLargeError

from agents.runtime.kafka_log import KafkaLog
from agents.runtime.kafka_topics import COMMAND_BYTES_MAX, create_topics
from settings.model import Settings
from topics.withdrawals import WITHDRAWAL_COMMANDS


@pytest.fixture
async def settings(kafka: str, topic_prefix: str) -> Settings:
    made = Settings(kafka_bootstrap=kafka, topic_prefix=topic_prefix, topic_partitions=1)
    await create_topics(made, [WITHDRAWAL_COMMANDS.name])
    return made


@pytest.mark.parametrize("codec", [None, "gzip", "snappy", "lz4", "zstd"])
async def test_a_worker_reads_what_any_codec_of_kafka_packed(
    settings: Settings, codec: str | None
) -> None:
    topic = settings.topic_prefix + WITHDRAWAL_COMMANDS.name
    async with AIOKafkaProducer(
        bootstrap_servers=settings.kafka_bootstrap, compression_type=codec
    ) as producer:
        sent = await producer.send_and_wait(topic, str(codec).encode() * 1000)
    (record,) = await KafkaLog(settings).read((topic, 0), sent.offset, sent.offset + 1, 1)
    assert record.value == str(codec).encode() * 1000


async def test_the_broker_itself_refuses_a_command_that_is_far_too_large(
    settings: Settings,
) -> None:
    topic = settings.topic_prefix + WITHDRAWAL_COMMANDS.name
    async with AIOKafkaProducer(
        bootstrap_servers=settings.kafka_bootstrap, max_request_size=2 * COMMAND_BYTES_MAX
    ) as producer:
        with pytest.raises(MessageSizeTooLargeError):
            await producer.send_and_wait(topic, b"x" * COMMAND_BYTES_MAX)
        await producer.send_and_wait(topic, b"x" * (COMMAND_BYTES_MAX - 1000))


@pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4", "zstd"])
async def test_the_broker_refuses_a_command_that_is_small_only_while_it_is_packed(
    settings: Settings, codec: str
) -> None:
    """What a worker could not unpack would end each that tries, and stay there."""
    topic, bomb = settings.topic_prefix + WITHDRAWAL_COMMANDS.name, bytes(16 * COMMAND_BYTES_MAX)
    async with AIOKafkaProducer(
        bootstrap_servers=settings.kafka_bootstrap,
        compression_type=codec,
        max_request_size=2 * len(bomb),
    ) as producer:
        before = await producer.send_and_wait(topic, b"{}")
        with pytest.raises(MessageSizeTooLargeError):
            await producer.send_and_wait(topic, bomb)
    async with AIOKafkaProducer(bootstrap_servers=settings.kafka_bootstrap) as producer:
        after = await producer.send_and_wait(topic, b"{}")
    assert after.offset == before.offset + 1
