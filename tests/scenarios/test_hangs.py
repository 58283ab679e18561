"""What must not wait for good: for brokers that moved, for a database that is heard no more.

On real servers. A promise that is not kept shows as a test that ends by its time-out.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from aiokafka.errors import KafkaError

from agents.runtime import kafka_io
from agents.runtime.kafka_io import Publisher, create_topics
from devstack.kafka import Kafka
from devstack.process import free_port
from settings.model import Settings

WAIT_S = 60.0


async def test_what_brokers_that_moved_were_to_take_is_published_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their client asks at the old addresses for ever, under a lease that goes on."""
    monkeypatch.setattr(kafka_io, "PUBLISH_S", 3.0)
    ports = free_port(), free_port()
    settings = Settings(
        kafka_bootstrap=",".join(f"127.0.0.1:{port}" for port in ports), topic_partitions=1
    )
    records = [("millrace.moved", b"key", b"value")]
    publisher = Publisher(settings)
    others = asyncio.all_tasks()
    with Kafka(tmp_path / "kafka", port=ports[0], heap_mib=128):
        await create_topics(settings, ["moved"])
        await publisher.publish(records)
    async with asyncio.timeout(WAIT_S):
        with pytest.raises(KafkaError):
            await publisher.publish(records)
        with Kafka(tmp_path / "kafka", port=ports[1], heap_mib=128):
            await publisher.publish(records)
        await publisher.stop()
    assert asyncio.all_tasks() <= others, "nobody asks for them any more"
