"""What Faust does with records when an agent raises or commits too far, and what we make of it.

On a real broker and with real worker processes. Plain Faust loses records; a stage of ours must
not. If the test of plain Faust fails, Faust has changed, and agents/worker.py may become simpler.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from pydantic import SecretStr

from agents.runtime.kafka_topics import create_topics
from agents.runtime.publisher import Publisher
from agents.worker import STALLED
from settings.model import Settings
from sql.pool import Pool
from tests.support.faust_worker import EVERY, NUMBERS

WAIT_S = 60.0
COUNT = 200
PLAIN_COUNT = 2 * EVERY + 1
"""Fewer, because plain Faust takes seconds to start an agent again."""
POISON = set(range(EVERY, COUNT + 1, EVERY))


@pytest.fixture
async def settings(pool: Pool, database_url: str, kafka: str) -> Settings:
    made = Settings(
        database_url=SecretStr(database_url),
        kafka_bootstrap=kafka,
        topic_prefix=f"faust-{secrets.token_hex(4)}.",
        topic_partitions=1,
    )
    await create_topics(made, [NUMBERS.name])
    await pool.execute("DROP TABLE IF EXISTS noted")
    await pool.execute("CREATE TABLE noted (number integer PRIMARY KEY)")
    await pool.execute("DELETE FROM dead_letters")
    return made


async def send(settings: Settings, numbers: Iterable[int]) -> None:
    publisher = Publisher(settings)
    await publisher.start()
    topic = settings.topic_prefix + NUMBERS.name
    await publisher.publish([(topic, b"", str(number).encode()) for number in numbers])
    await publisher.stop()


@asynccontextmanager
async def running(
    settings: Settings, kind: str, folder: Path
) -> AsyncIterator[tuple[Path, Process]]:
    """Run a worker process; kill -9 it at the end."""
    log = folder / f"{kind}.log"
    environ = {
        "MILLRACE_DATABASE_URL": settings.database_url.get_secret_value(),
        "MILLRACE_KAFKA_BOOTSTRAP": settings.kafka_bootstrap,
        "MILLRACE_TOPIC_PREFIX": settings.topic_prefix,
        "MILLRACE_DATA_DIR": str(folder),
    }
    with log.open("ab") as output:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.support.faust_worker", kind),
            stdout=output,
            stderr=output,
            env=os.environ | environ,
        )
    try:
        yield log, process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def until(holds: Callable[[], Awaitable[bool]], log: Path) -> None:
    try:
        async with asyncio.timeout(WAIT_S):
            while not await holds():  # noqa: ASYNC110 - nothing tells
                await asyncio.sleep(0.1)
    except TimeoutError:
        raise AssertionError(await asyncio.to_thread(log.read_text)) from None


async def noted(pool: Pool) -> set[int]:
    return {row["number"] for row in await pool.fetch("SELECT number FROM noted")}


async def committed(settings: Settings, role: str) -> int:
    """Return the offset of the group, 0 if it has none."""
    partition = TopicPartition(settings.topic_prefix + NUMBERS.name, 0)
    consumer = AIOKafkaConsumer(
        bootstrap_servers=settings.kafka_bootstrap,
        group_id=settings.topic_prefix + role,
        enable_auto_commit=False,
    )
    await consumer.start()
    try:
        return await consumer.committed(partition) or 0
    finally:
        await consumer.stop()


async def commit(settings: Settings, role: str, offset: int) -> None:
    """Move the offset of a group that nobody runs in, whatever was done."""
    partition = TopicPartition(settings.topic_prefix + NUMBERS.name, 0)
    consumer = AIOKafkaConsumer(
        bootstrap_servers=settings.kafka_bootstrap,
        group_id=settings.topic_prefix + role,
        enable_auto_commit=False,
    )
    await consumer.start()
    try:
        consumer.assign([partition])
        await consumer.commit({partition: offset})
    finally:
        await consumer.stop()


async def test_a_stage_that_raises_skips_nothing_and_parks_the_poison(
    settings: Settings, pool: Pool, tmp_path: Path
) -> None:
    await send(settings, range(1, COUNT + 1))

    async def done() -> bool:
        parked = await pool.fetchval("SELECT count(*) FROM dead_letters")
        return bool(len(await noted(pool)) + parked >= COUNT)

    async with running(settings, "ours", tmp_path) as (log, _):
        await until(done, log)
    letters = await pool.fetch("SELECT * FROM dead_letters WHERE stage = 'note' ORDER BY id")
    assert await noted(pool) == set(range(1, COUNT + 1)) - POISON
    assert {int(letter["payload"]) for letter in letters} == POISON
    assert all("ValueError: poison" in letter["error"] for letter in letters)


async def test_plain_faust_loses_what_an_agent_raises_on(
    settings: Settings, pool: Pool, tmp_path: Path
) -> None:
    await send(settings, range(1, PLAIN_COUNT + 1))

    async def all_committed() -> bool:
        return await committed(settings, "plain") >= PLAIN_COUNT

    async with running(settings, "plain", tmp_path) as (log, _):
        await until(all_committed, log)
    assert await noted(pool) == set(range(1, PLAIN_COUNT + 1)) - POISON


@pytest.mark.parametrize("skipped_to", [30, 50])
async def test_records_below_the_committed_offset_that_were_never_done_are_read_again(
    settings: Settings, pool: Pool, tmp_path: Path, skipped_to: int
) -> None:
    """With records behind the gap, and with none that would ever show it."""
    numbers = [number for number in range(1, 60) if number % EVERY][:50]
    await send(settings, numbers)
    await commit(settings, "torment", skipped_to)

    async def all_noted() -> bool:
        return (await noted(pool)).issuperset(numbers)

    async with running(settings, "ours", tmp_path) as (log, _):
        await until(all_noted, log)
    assert await pool.fetchval("SELECT count(*) FROM dead_letters") == 0
    assert "offsets skipped" in log.read_text()


async def test_a_worker_whose_consumer_fetches_no_more_ends_itself(
    settings: Settings, pool: Pool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It sees nothing come, and so no lag: only the broker knows."""
    monkeypatch.setenv("MILLRACE_STAGE_STALL_S", "3")
    await send(settings, [1])

    async def all_noted() -> bool:
        return await noted(pool) == {1}

    async with running(settings, "deaf", tmp_path) as (log, process):
        await until(all_noted, log)
        await asyncio.to_thread((tmp_path / "deaf").touch)
        await asyncio.sleep(3)  # a fetch that was under way may still bring what is sent now
        await send(settings, [2])
        assert await asyncio.wait_for(process.wait(), WAIT_S) == STALLED
        assert "no progress" in await asyncio.to_thread(log.read_text)


async def test_a_worker_that_misses_a_topic_ends_instead_of_idling_for_ever(
    settings: Settings, pool: Pool, tmp_path: Path
) -> None:
    """As when it starts while the broker does not know of all its topics yet."""
    early = settings.model_copy(update={"topic_prefix": f"{settings.topic_prefix}early."})
    async with running(early, "ours", tmp_path) as (log, process):
        assert await asyncio.wait_for(process.wait(), WAIT_S) == 1
        assert "topics missing" in await asyncio.to_thread(log.read_text)
    await create_topics(early, [NUMBERS.name])
    await send(early, [1, 2, 3])

    async def all_noted() -> bool:
        return await noted(pool) == {1, 2, 3}

    async with running(early, "ours", tmp_path) as (log, _):
        await until(all_noted, log)
