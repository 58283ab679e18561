"""Workers of one role that come and go: nothing is lost, done twice or kept waiting for long.

On a real broker and with real worker processes, as in test_faust.py.
"""

from __future__ import annotations

import asyncio
import signal
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import count
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer

from agents.runtime.kafka_topics import create_topics
from settings.model import Settings
from sql.pool import Pool
from tests.scenarios.test_faust import WAIT_S, noted, running, send, settings, until
from tests.support.faust_worker import EVERY, NUMBERS

__all__ = ["settings"]

PARTITIONS = 4
BACKLOG = 100
PAUSE_S = 0.5
FROZEN_S = 7.0
"""Longer than brokers wait for a worker before others get its partitions."""


class Load:
    """Numbers that are sent to all partitions without end, one each at a time."""

    def __init__(self, settings: Settings) -> None:
        self.sent: set[int] = set()
        self._settings = settings
        self._numbers = (number for number in count(1) if number % EVERY)

    @asynccontextmanager
    async def sending(self) -> AsyncIterator[None]:
        """Send in the background, a backlog before all else."""
        async with AIOKafkaProducer(bootstrap_servers=self._settings.kafka_bootstrap) as producer:
            for _ in range(BACKLOG // PARTITIONS):
                await self._send_round(producer)
            over = asyncio.Event()
            task = asyncio.create_task(self._keep_sending(producer, over))
            try:
                yield
            finally:
                over.set()
                await task

    async def _keep_sending(self, producer: AIOKafkaProducer, over: asyncio.Event) -> None:
        while not over.is_set():
            await self._send_round(producer)
            await asyncio.sleep(PAUSE_S)

    async def _send_round(self, producer: AIOKafkaProducer) -> None:
        topic = self._settings.topic_prefix + NUMBERS.name
        for partition in range(PARTITIONS):
            number = next(self._numbers)
            self.sent.add(number)
            await producer.send_and_wait(topic, str(number).encode(), partition=partition)


class Crew:
    """The workers of one role, each with a folder and a log of its own."""

    def __init__(self, settings: Settings, pool: Pool, folder: Path, stack: AsyncExitStack) -> None:
        self.logs: list[Path] = []
        self._settings = settings
        self._pool = pool
        self._folder = folder
        self._stack = stack

    async def join(self, kind: str) -> Process:
        """Start another worker."""
        folder = self._folder / str(len(self.logs))
        await asyncio.to_thread(folder.mkdir)
        worker = running(self._settings, kind, folder)
        log, process = await self._stack.enter_async_context(worker)
        self.logs.append(log)
        return process

    async def hold(self) -> Path:
        """Start a worker that holds what lies ready; return its log once it does."""
        await self.join("holding")
        held = self.logs[-1].parent / "held"

        async def is_held() -> bool:
            return await asyncio.to_thread(held.exists)

        await until(is_held, self.logs[-1])
        return self.logs[-1]

    async def do_all(self, numbers: set[int]) -> None:
        """Wait until these numbers are noted."""

        async def all_noted() -> bool:
            return numbers <= await noted(self._pool)

        await until(all_noted, self.logs[-1])

    async def told(self) -> str:
        """Return what all logs tell."""
        return "".join([await asyncio.to_thread(log.read_text) for log in self.logs])


async def test_workers_come_and_go_under_load_and_all_is_done_once(
    settings: Settings, pool: Pool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of workers that are slow to fill a batch, with more to do than they hold."""
    monkeypatch.setenv("MILLRACE_STAGE_BATCH_MAX", "5")
    many = settings.model_copy(
        update={"topic_prefix": f"{settings.topic_prefix}many.", "topic_partitions": PARTITIONS}
    )
    await create_topics(many, [NUMBERS.name])
    load = Load(many)
    async with AsyncExitStack() as stack:
        crew = Crew(many, pool, tmp_path, stack)
        async with load.sending():
            first = await crew.join("sluggish")
            await crew.do_all({1, 2, 3, 4})
            second, third = await crew.join("sluggish"), await crew.join("sluggish")
            await crew.do_all(set(load.sent))
            fourth = await crew.join("sluggish")
            first.terminate()
            assert await asyncio.wait_for(first.wait(), WAIT_S) == 0
            await crew.do_all(set(load.sent))
            second.kill()
            third.send_signal(signal.SIGSTOP)
            await asyncio.sleep(FROZEN_S)
            third.send_signal(signal.SIGCONT)
            await crew.do_all(set(load.sent))
        await crew.do_all(load.sent)
        assert third.returncode is fourth.returncode is None
        told = await crew.told()
    assert await noted(pool) == load.sent
    assert await pool.fetchval("SELECT count(*) FROM dead_letters") == 0
    assert "batch taken apart" not in told  # as it would be with a number that was noted before
    assert "Waiting for tasks" not in told


async def test_a_worker_told_to_stop_while_it_joins_leaves_the_group(
    settings: Settings, pool: Pool, tmp_path: Path
) -> None:
    """It cut its connection first, and what it had just been given waited to be given up."""
    await send(settings, [1])
    async with AsyncExitStack() as stack:
        crew = Crew(settings, pool, tmp_path, stack)
        holding = await crew.hold()

        async def joining_waits() -> bool:
            return "it is rebalancing" in await asyncio.to_thread(holding.read_text)

        async def joining_stops() -> bool:
            return "Stopping" in await asyncio.to_thread(crew.logs[-1].read_text)

        joining = await crew.join("ours")
        await until(joining_waits, holding)
        joining.terminate()
        await until(joining_stops, crew.logs[-1])
        await asyncio.to_thread((holding.parent / "go_on").touch)
        assert await asyncio.wait_for(joining.wait(), WAIT_S) == 0
        assert "LeaveGroup request failed" not in await crew.told()
        await send(settings, [2])
        await crew.do_all({1, 2})


async def test_a_worker_that_cannot_end_its_batch_is_left_out_and_what_it_did_dropped(
    settings: Settings, pool: Pool, tmp_path: Path
) -> None:
    """The others waited for it a minute. It may be the only one whose database does not answer."""
    await send(settings, [1])
    async with AsyncExitStack() as stack:
        crew = Crew(settings, pool, tmp_path, stack)
        holding = await crew.hold()
        taking_over = await crew.join("ours")
        await crew.do_all({1})
        await asyncio.to_thread((holding.parent / "go_on").touch)
        taking_over.terminate()
        assert await asyncio.wait_for(taking_over.wait(), WAIT_S) == 0
        await send(settings, [2])
        await crew.do_all({1, 2})
        assert "batch taken apart" not in await crew.told()
    assert await pool.fetchval("SELECT count(*) FROM dead_letters") == 0
