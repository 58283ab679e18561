"""What a worker notices of partitions that its Kafka client reads no more, and what it leaves out.

On a real broker and with real worker processes, as in test_faust.py.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable
from itertools import count
from pathlib import Path

import aiohttp
import pytest
from aiokafka import AIOKafkaProducer

from agents.runtime.kafka_topics import create_topics
from agents.runtime.one_loop import FULL_WAIT_S
from agents.worker import STALLED
from devstack.kafka import Kafka
from devstack.process import free_port
from settings.model import Settings
from sql.pool import Pool
from tests.scenarios.test_faust import WAIT_S, noted, running, send, settings, until
from tests.support.faust_worker import EVERY, NUMBERS

__all__ = ["settings"]


async def transact(settings: Settings, numbers: list[int], *, commits: bool) -> None:
    """Send numbers in one of Kafka's transactions."""
    producer = AIOKafkaProducer(
        bootstrap_servers=settings.kafka_bootstrap, transactional_id=settings.topic_prefix
    )
    await producer.start()
    await producer.begin_transaction()
    for number in numbers:
        await producer.send(settings.topic_prefix + NUMBERS.name, str(number).encode())
    await (producer.commit_transaction() if commits else producer.abort_transaction())
    await producer.stop()


async def keep_sending(settings: Settings, partition: int, numbers: Iterable[int]) -> None:
    """Send one number to a partition every tenth of a second."""
    producer = AIOKafkaProducer(bootstrap_servers=settings.kafka_bootstrap)
    topic = settings.topic_prefix + NUMBERS.name
    async with producer:
        for number in numbers:
            await producer.send_and_wait(topic, str(number).encode(), partition=partition)
            await asyncio.sleep(0.1)


async def send_wide(settings: Settings, partition: int, numbers: Iterable[int]) -> None:
    """Send numbers to a partition in records so large that a fetch brings a few of them."""
    producer = AIOKafkaProducer(bootstrap_servers=settings.kafka_bootstrap)
    topic = settings.topic_prefix + NUMBERS.name
    async with producer:
        for number in numbers:
            wide = str(number).rjust(100_000).encode()
            await producer.send_and_wait(topic, wide, partition=partition)


async def lag_shown(log: Path) -> float | None:
    """Return what the worker shows of its stage's lag, None if it shows none."""
    text = await asyncio.to_thread(log.read_text)
    port = re.findall(r"metrics_port=(\d+)", text)[-1]
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"http://127.0.0.1:{port}/metrics") as response,
    ):
        found = re.search(r"^millrace_stage_lag_records\{.*\} (.*)$", await response.text(), re.M)
    return None if found is None else float(found[1])


async def test_what_a_producer_took_back_is_not_done_and_nothing_seems_to_wait(
    settings: Settings, pool: Pool, tmp_path: Path
) -> None:
    """Kafka keeps the record of an aborted transaction, and marks that no consumer is given."""
    await transact(settings, [1, 2], commits=True)
    await transact(settings, [3], commits=False)
    await transact(settings, [4], commits=True)

    async def all_done() -> bool:
        return {1, 2, 4} <= await noted(pool)

    async def nothing_waits() -> bool:
        return await lag_shown(log) == 0

    async with running(settings, "ours", tmp_path) as (log, _):
        await until(all_done, log)
        await until(nothing_waits, log)
        await send(settings, [5])

        async def next_is_done() -> bool:
            return 5 in await noted(pool)

        await until(next_is_done, log)
    assert await noted(pool) == {1, 2, 4, 5}


async def test_a_fetch_is_held_shortly_as_long_as_a_stage_has_no_room(
    settings: Settings, pool: Pool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A partition that has room again would wait for it: to catch up took ten times as long."""
    monkeypatch.setenv("MILLRACE_STAGE_BATCH_MAX", "2")
    two = settings.model_copy(
        update={"topic_prefix": f"{settings.topic_prefix}two.", "topic_partitions": 2}
    )
    await create_topics(two, [NUMBERS.name])
    numbers = [number for number in range(1, 100) if number % EVERY]
    await send_wide(two, 0, numbers)

    async def held_ms() -> list[str]:
        return (await asyncio.to_thread((tmp_path / "held_ms").read_text)).split()

    async def all_noted_and_room_again() -> bool:
        return await noted(pool) == set(numbers) and (await held_ms())[-1] == "1500"

    async with running(two, "telling", tmp_path) as (log, _):
        await until(all_noted_and_room_again, log)
        assert set(await held_ms()) == {"1500", str(int(FULL_WAIT_S * 1000))}


async def test_a_worker_amid_taking_a_batch_holds_up_no_rebalance(
    settings: Settings, pool: Pool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It waited for a next record, and Faust for the batch, until the brokers gave it up."""
    monkeypatch.setenv("MILLRACE_STAGE_BATCH_MAX", "20")
    numbers = [number for number in range(1, 200) if number % EVERY]
    await send(settings, numbers)

    async def some_are_noted() -> bool:
        return bool(await noted(pool))

    async def all_are_noted() -> bool:
        return await noted(pool) == set(numbers)

    async with running(settings, "sluggish", tmp_path) as (log, _):
        await until(some_are_noted, log)
        async with running(settings, "sluggish", tmp_path):
            await until(all_are_noted, log)
    assert "Waiting for tasks" not in await asyncio.to_thread(log.read_text)


async def test_a_worker_whose_client_forgets_one_partition_ends_itself(
    settings: Settings, pool: Pool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is done of the others must not hide it: it may be all withdrawals of a tenant."""
    monkeypatch.setenv("MILLRACE_STAGE_STALL_S", "3")
    two = settings.model_copy(
        update={"topic_prefix": f"{settings.topic_prefix}two.", "topic_partitions": 2}
    )
    await create_topics(two, [NUMBERS.name])
    async with running(two, "forgetful", tmp_path) as (log, process):
        await keep_sending(two, 0, [1])

        async def first_is_noted() -> bool:
            return await noted(pool) == {1}

        await until(first_is_noted, log)
        await asyncio.to_thread((tmp_path / "forgetful").touch)
        await asyncio.sleep(3)  # a fetch that was under way may still bring what is sent now
        await keep_sending(two, 0, [2])
        others = (number for number in count(3) if number % EVERY)
        sending = asyncio.create_task(keep_sending(two, 1, others))
        assert await asyncio.wait_for(process.wait(), WAIT_S) == STALLED
        sending.cancel()
        assert "no progress" in await asyncio.to_thread(log.read_text)
    assert await noted(pool) > {1, 3}


async def test_a_worker_whose_brokers_all_moved_ends_itself(
    settings: Settings, pool: Pool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its client would ask at the old addresses for ever; the next process asks at all."""
    monkeypatch.setenv("MILLRACE_STAGE_STALL_S", "3")
    ports = free_port(), free_port()
    moving = settings.model_copy(
        update={"kafka_bootstrap": ",".join(f"127.0.0.1:{port}" for port in ports)}
    )

    async def is_noted(number: int) -> bool:
        return number in await noted(pool)

    with Kafka(tmp_path / "kafka", port=ports[0], heap_mib=128):
        await create_topics(moving, [NUMBERS.name])
        await send(moving, [1])
        worker = running(moving, "ours", tmp_path)
        log, process = await worker.__aenter__()
        await until(lambda: is_noted(1), log)
    with Kafka(tmp_path / "kafka", port=ports[1], heap_mib=128):
        assert await asyncio.wait_for(process.wait(), WAIT_S) == STALLED
        assert "not the consumer" in await asyncio.to_thread(log.read_text)
        await send(moving, [2])
        async with running(moving, "ours", tmp_path) as (log, _):
            await until(lambda: is_noted(2), log)
