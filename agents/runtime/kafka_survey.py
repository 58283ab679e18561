"""What brokers say of themselves: their cluster, its topics, which offsets they keep."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from agents.runtime.kafka_access import client_options, open_admin
from settings.model import Settings
from sql.stream import Partition


class Broker(NamedTuple):
    """A Kafka cluster as it is now."""

    cluster_id: str
    partitions: dict[str, int]
    """How many each topic has."""


class Kept(NamedTuple):
    """The offsets of a partition that Kafka has."""

    first: int
    """The first that is kept; what was below is dropped."""
    end: int
    """The one that the next record will get."""


async def survey_broker(settings: Settings) -> Broker:
    """Ask the broker for its cluster's id and topics. Raises KafkaError or OSError."""
    async with open_admin(settings) as admin:
        cluster = await admin.describe_cluster()
        topics = await admin.describe_topics()
    return Broker(
        str(cluster["cluster_id"]),
        {topic["topic"]: len(topic["partitions"]) for topic in topics},
    )


async def read_cluster_id(settings: Settings) -> str:
    """Return Kafka's own id of the cluster: offsets mean nothing without it."""
    async with open_admin(settings) as admin:
        cluster = await admin.describe_cluster()
    return str(cluster["cluster_id"])


async def read_topic_settings(
    settings: Settings, wanted: Mapping[str, Mapping[str, str]]
) -> dict[str, dict[str, str]]:
    """Return what topics are set to, of what is `wanted` of them. Raises KafkaError or OSError.

    Topics of which Kafka does not tell us are left out: it takes the right to DescribeConfigs.
    """
    async with open_admin(settings) as admin:
        answers = await admin.describe_configs(
            [ConfigResource(ConfigResourceType.TOPIC, *one) for one in wanted.items()]
        )
    return {
        topic: {name: value for name, value, *_ in entries}
        for answer in answers
        for code, _, _, topic, entries in answer.resources
        if code == 0
    }


async def read_bounds(settings: Settings, partitions: Iterable[Partition]) -> dict[Partition, Kept]:
    """Return which offsets of each partition Kafka has. Raises KafkaError or OSError."""
    consumer = AIOKafkaConsumer(**client_options(settings))
    await consumer.start()
    try:
        targets = [TopicPartition(*partition) for partition in partitions]
        first = await consumer.beginning_offsets(targets)
        end = await consumer.end_offsets(targets)
        return {(t.topic, t.partition): Kept(first[t], end[t]) for t in targets}
    finally:
        await consumer.stop()
