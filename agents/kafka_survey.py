"""What a broker says of itself, for checks."""

from __future__ import annotations

from typing import NamedTuple

from aiokafka.admin import AIOKafkaAdminClient


class Broker(NamedTuple):
    """A Kafka cluster as it is now."""

    cluster_id: str
    partitions: dict[str, int]
    """How many each topic has."""


async def survey_broker(bootstrap: str) -> Broker:
    """Ask the broker for its cluster's id and topics. Raises KafkaError or OSError."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap, request_timeout_ms=10_000)
    await admin.start()
    try:
        cluster = await admin.describe_cluster()
        topics = await admin.describe_topics()
        return Broker(
            str(cluster["cluster_id"]),
            {topic["topic"]: len(topic["partitions"]) for topic in topics},
        )
    finally:
        await admin.close()
