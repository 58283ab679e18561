"""What must not wait for good: for brokers that moved, for a database that is heard no more.

On real servers. A promise that is not kept shows as a test that ends by its time-out.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any

import pytest
from aiokafka.errors import KafkaError
from pydantic import SecretStr

import sql.pool
from agents.runtime.kafka_topics import create_topics
from agents.runtime.publisher import Publisher
from agents.worker import STALLED
from cli import session
from cli.doctor import examine_database
from cli.work import require_set_up
from devstack.kafka import Kafka, members_of
from devstack.postgres import Postgres
from devstack.process import free_port
from settings.model import Settings
from sql.pool import Pool, open_pool
from tests.scenarios.test_faust import running, send, settings, until
from tests.support.faust_worker import NUMBERS
from tests.support.races import held_table, until_blocked
from tests.support.silent_relay import silent_relay

__all__ = ["settings"]

WAIT_S = 60.0
IN_HAND = """
SELECT EXISTS (SELECT FROM pg_stat_activity
               WHERE datname = current_database() AND state = 'idle in transaction')
"""


async def test_what_brokers_that_moved_were_to_take_is_published_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their client asks at the old addresses for ever, under a lease that goes on."""
    monkeypatch.setattr("agents.runtime.publisher.PUBLISH_S", 3.0)
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


async def begin_a_worker(settings: Settings) -> None:
    with pytest.raises(TimeoutError):
        await require_set_up(settings)


async def call_the_doctor(settings: Settings) -> None:
    _, (finding,) = await examine_database(settings, None)
    assert (finding.check, finding.state) == ("database", "red")


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


@pytest.mark.parametrize(
    ("look", "table"), [(begin_a_worker, "networks"), (call_the_doctor, "schema_migrations")]
)
async def test_what_looks_at_a_database_that_falls_silent_comes_to_an_end(
    settings: Settings,
    pool: Pool,
    monkeypatch: pytest.MonkeyPatch,
    look: Callable[[Settings], Coroutine[Any, Any, None]],
    table: str,
) -> None:
    """Nothing else would end a worker that has not begun, or tell an operator what is wrong."""
    monkeypatch.setattr(session, "LOOK_S", 2.0)
    url = settings.database_url.get_secret_value()
    async with silent_relay(url) as relay, asyncio.timeout(WAIT_S):
        through = settings.model_copy(update={"database_url": SecretStr(relay.url)})
        async with held_table(pool, table):
            looking = asyncio.create_task(look(through))
            await until_blocked(pool, looking)
            relay.fall_silent()
        await looking


async def test_a_worker_that_must_end_does_so_though_its_broker_hangs(
    settings: Settings, pool: Pool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MILLRACE_STAGE_STALL_S", "600")

    async def has_begun() -> bool:
        return bool(await pool.fetchval(IN_HAND))

    with Kafka(tmp_path / "kafka", heap_mib=128) as kafka:
        own = settings.model_copy(update={"kafka_bootstrap": kafka.bootstrap})
        await create_topics(own, [NUMBERS.name])
        await send(own, [1])
        async with running(own, "doomed", tmp_path) as (log, process):
            await until(has_begun, log)
            os.kill(kafka.pid, signal.SIGSTOP)
            try:
                (tmp_path / "doomed").touch()
                assert await asyncio.wait_for(process.wait(), WAIT_S) == STALLED
            finally:
                os.kill(kafka.pid, signal.SIGCONT)
            assert "does not end" in await asyncio.to_thread(log.read_text)


@pytest.mark.parametrize(("kind", "status"), [("late", STALLED), ("let_down", 1)])
async def test_a_worker_ends_itself_if_it_cannot_begin_or_loses_a_loop(
    settings: Settings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    status: int,
) -> None:
    monkeypatch.setenv("MILLRACE_STAGE_STALL_S", "3")
    async with running(settings, kind, tmp_path) as (_, process):
        assert await asyncio.wait_for(process.wait(), WAIT_S) == status


async def test_a_worker_that_stands_still_ends_itself_though_nobody_takes_its_log(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where a collector of logs hangs: what is written waits for good."""
    monkeypatch.setenv("MILLRACE_STAGE_STALL_S", "3")
    (tmp_path / "doomed.log").symlink_to("pipe")
    reader, writer = os.pipe()
    (tmp_path / "pipe").symlink_to(f"/proc/{os.getpid()}/fd/{writer}")
    async with running(settings, "doomed", tmp_path) as (_, process):
        said = b""
        while b"worker ready" not in said:
            said += await asyncio.to_thread(os.read, reader, 1024)
        filler = os.open(f"/proc/self/fd/{writer}", os.O_WRONLY | os.O_NONBLOCK)
        with suppress(BlockingIOError):
            while True:
                os.write(filler, b" ")
        await send(settings, [1])
        assert await asyncio.wait_for(process.wait(), WAIT_S) == STALLED
    for end in (reader, writer, filler):
        os.close(end)


async def test_a_worker_without_partitions_ends_itself_too_when_its_brokers_all_moved(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or it would take none over when those who hold them die."""
    monkeypatch.setenv("MILLRACE_STAGE_STALL_S", "3")
    ports = free_port(), free_port()
    moving = settings.model_copy(
        update={"kafka_bootstrap": ",".join(f"127.0.0.1:{port}" for port in ports)}
    )
    async with AsyncExitStack() as workers:
        with Kafka(tmp_path / "kafka", port=ports[0], heap_mib=128):
            await create_topics(moving, [NUMBERS.name])
            ran = []
            for name in ("one", "another"):
                (tmp_path / name).mkdir()
                ran.append(
                    await workers.enter_async_context(running(moving, "ours", tmp_path / name))
                )

            group = f"{moving.topic_prefix}torment"

            async def share_the_partition() -> bool:
                return await members_of(group, moving.kafka_bootstrap) == len(ran)

            await until(share_the_partition, ran[0][0])
        with Kafka(tmp_path / "kafka", port=ports[1], heap_mib=128):
            ends = await asyncio.gather(*(process.wait() for _, process in ran))
    assert ends == [STALLED, STALLED]
