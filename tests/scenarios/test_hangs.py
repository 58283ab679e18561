"""What must not wait for good: for brokers that moved, for a database that is heard no more.

On real servers. A promise that is not kept shows as a test that ends by its time-out.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from aiokafka.errors import KafkaError

import sql.pool
from agents.runtime import kafka_io
from agents.runtime.kafka_io import Publisher, create_topics
from devstack.kafka import Kafka
from devstack.postgres import Postgres
from devstack.process import free_port
from settings.model import Settings
from sql.pool import Pool, open_pool
from tests.support.silent_relay import silent_relay

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


async def ask(pool: Pool) -> None:
    await pool.execute("SELECT 1")


async def ask_in_transaction(pool: Pool) -> None:
    async with pool.acquire() as conn, conn.transaction():
        await conn.execute("SELECT 1")


@pytest.mark.parametrize("work", [ask, ask_in_transaction])
@pytest.mark.parametrize("answer_s", [None, 300.0], ids=["command", "worker"])
async def test_who_waits_no_longer_for_a_silent_database_gives_the_connection_back(
    postgres: Postgres,
    monkeypatch: pytest.MonkeyPatch,
    work: Callable[[Pool], Coroutine[Any, Any, None]],
    answer_s: float | None,
) -> None:
    """As a command at Ctrl-C, a check of health at its end, the body of a lease that was lost."""
    monkeypatch.setattr(sql.pool, "CANCEL_S", 1.0)
    async with silent_relay(postgres.url) as relay, asyncio.timeout(WAIT_S):
        pool = await open_pool(relay.url, 1, answer_s=answer_s)
        await work(pool)
        relay.fall_silent()
        waiting = asyncio.create_task(work(pool))
        await asyncio.wait([waiting], timeout=0.5)
        waiting.cancel()
        await asyncio.wait([waiting])
        await work(pool)
        await pool.close()
