"""Worker processes: how they begin, how they end, and what they leave behind."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TypeVar
from uuid import UUID, uuid4

import aiohttp
import pytest
from pydantic import SecretStr
from structlog.testing import capture_logs

from agents.runtime import context
from agents.runtime.lease import Lease
from agents.runtime.publisher import Publisher
from agents.worker import STALLED
from chain_adapters.types import NodeUnavailable
from cli.setup import set_up
from settings.model import Settings
from sql import stream
from sql.pool import Connection, Pool
from tests.support.races import held_table
from tests.support.silent_relay import silent_relay
from topics.blocks import BLOCKS, BlockRemoved

END_S = 40.0
WAITING = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'inbox'::regclass"
"""Statements that wait for the table of offsets."""
ResultT = TypeVar("ResultT")


@pytest.fixture(scope="module")
async def settings(database_url: str, kafka: str, topic_prefix: str) -> Settings:
    made = Settings(
        database_url=SecretStr(database_url),
        kafka_bootstrap=kafka,
        topic_prefix=topic_prefix,
        topic_partitions=2,
        wallet_enc_key=SecretStr("a key for this test alone"),
    )
    await set_up(made, lambda _: None)
    return made


@asynccontextmanager
async def worker(
    settings: Settings, role: str, folder: Path, **environ: str
) -> AsyncIterator[tuple[asyncio.subprocess.Process, Path]]:
    log = folder / f"{role}.log"
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "cli", "worker", "--role", role),
            stdout=output,
            stderr=output,
            env=os.environ
            | {
                "MILLRACE_DATABASE_URL": settings.database_url.get_secret_value(),
                "MILLRACE_KAFKA_BOOTSTRAP": settings.kafka_bootstrap,
                "MILLRACE_TOPIC_PREFIX": settings.topic_prefix,
                "MILLRACE_TOPIC_PARTITIONS": str(settings.topic_partitions),
                "MILLRACE_METRICS_PORT": "0",
                "MILLRACE_DATA_DIR": str(folder / "data"),
                **environ,
            },
        )
        try:
            yield process, log
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()


@asynccontextmanager
async def published(settings: Settings) -> AsyncIterator[Publisher]:
    publisher = Publisher(settings)
    await publisher.start()
    try:
        yield publisher
    finally:
        await publisher.stop()


async def tell(publisher: Publisher, settings: Settings) -> None:
    """Give the role `deposits` a record to take."""
    record = BLOCKS.encode(BlockRemoved("sim:1", 1, "0x1"))
    await publisher.publish([(settings.topic_prefix + BLOCKS.name, b"a", record)])


@asynccontextmanager
async def held_up(
    settings: Settings, pool: Pool, folder: Path, **environ: str
) -> AsyncIterator[tuple[asyncio.subprocess.Process, Path]]:
    """A worker that has a record and cannot take it as long as this lasts."""
    async with (
        published(settings) as publisher,
        worker(settings, "deposits", folder, **environ) as (process, log),
    ):
        await until_ready(log)
        async with held_table(pool, "inbox"):
            await tell(publisher, settings)
            yield process, log


async def until_ready(log: Path) -> int:
    """Return the port of the worker's metrics."""

    async def look() -> int | None:
        found = re.search(r"worker ready.*metrics_port=(\d+)", log.read_text())  # noqa: ASYNC240
        return int(found[1]) if found else None

    return await until(look)


async def until(look: Callable[[], Awaitable[ResultT | None]]) -> ResultT:
    async with asyncio.timeout(END_S):
        while not (found := await look()):  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0.1)
    return found


async def test_a_worker_stops_on_sigterm_and_gives_its_leases_back(
    settings: Settings, pool: Pool, tmp_path: Path
) -> None:
    async with worker(settings, "chain", tmp_path) as (process, log):
        await until_ready(log)
        await until(partial(pool.fetchval, "SELECT count(*) FROM leases"))
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), END_S) == 0, log.read_text()
    assert await pool.fetchval("SELECT count(*) FROM leases") == 0
    assert "\x1b" not in log.read_text()


async def test_no_signal_opens_a_debugger(settings: Settings, pool: Pool, tmp_path: Path) -> None:
    async with worker(settings, "chain", tmp_path) as (process, log):
        await until(partial(pool.fetchval, "SELECT count(*) FROM leases"))
        process.send_signal(signal.SIGUSR2)
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), END_S) == 0, log.read_text()
    assert "Pdb" not in log.read_text()


async def test_a_worker_stops_even_if_a_statement_never_returns(
    settings: Settings, pool: Pool, tmp_path: Path
) -> None:
    async with held_up(settings, pool, tmp_path) as (process, log):
        await until(partial(pool.fetchval, WAITING))
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), END_S) == STALLED, log.read_text()
    assert "does not end" in log.read_text()


async def test_what_a_dead_worker_waited_for_in_the_database_is_given_up(
    settings: Settings, pool: Pool, tmp_path: Path
) -> None:
    """Or it would hold up who follows it, with all that it had locked before."""

    async def waits_no_more() -> bool:
        return not await pool.fetchval(WAITING)

    async with held_up(settings, pool, tmp_path) as (process, _):
        await until(partial(pool.fetchval, WAITING))
        process.kill()
        await process.wait()
        await until(waits_no_more)


async def test_a_database_that_falls_silent_is_connected_to_anew(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failover may leave connections on which nothing is ever heard again."""
    monkeypatch.setattr(context, "ANSWER_S", 1.0)
    async with silent_relay(settings.database_url.get_secret_value()) as relay:
        through = settings.model_copy(update={"database_url": SecretStr(relay.url)})
        async with context.open_context(through) as opened, asyncio.timeout(END_S):
            assert await opened.pool.fetchval("SELECT 1") == 1
            relay.fall_silent()
            with pytest.raises(TimeoutError):
                await opened.pool.fetchval("SELECT 1")
            assert await opened.pool.fetchval("SELECT 2") == 2


async def test_a_worker_shows_the_lag_of_those_partitions_only_that_it_holds(
    settings: Settings, tmp_path: Path
) -> None:
    """What it showed last of a partition would else be taken for a stage that stands still."""

    async def shown(log: Path) -> list[str]:
        url = f"http://127.0.0.1:{await until_ready(log)}/metrics"
        async with aiohttp.ClientSession() as client, client.get(url) as answer:
            text = await answer.text()
        return re.findall(r'stage_lag_records\{partition="(\d)",stage="match_deposits"', text)

    async def holds(count: int, log: Path) -> bool:
        return len(await shown(log)) == count

    (tmp_path / "second").mkdir()
    async with worker(settings, "deposits", tmp_path) as (_, first):
        await until(partial(holds, 2, first))
        async with worker(settings, "deposits", tmp_path / "second") as (_, second):
            await until(partial(holds, 1, second))
            await until(partial(holds, 1, first))
            assert sorted(await shown(first) + await shown(second)) == ["0", "1"]


async def test_a_worker_stopped_while_it_takes_a_lease_leaves_it_to_others(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = asyncio.Event()
    take = stream.take_lease

    async def take_and_never_hear_of_it(
        conn: Connection, name: str, holder: UUID, lease_s: float
    ) -> bool:
        await take(conn, name, holder, lease_s)
        taken.set()
        return await asyncio.Future[bool]()

    async def body() -> None:
        """Nothing to do."""

    monkeypatch.setattr(stream, "take_lease", take_and_never_hear_of_it)
    stopped = asyncio.create_task(Lease(pool, "stopped", uuid4(), 60.0).run_forever(body))
    await taken.wait()
    stopped.cancel()
    await asyncio.wait([stopped])
    monkeypatch.undo()
    async with pool.acquire() as conn:
        assert await stream.take_lease(conn, "stopped", uuid4(), 0.001)


async def test_what_was_done_under_a_lease_begins_anew_if_another_had_it_meanwhile(
    pool: Pool,
) -> None:
    begun: asyncio.Queue[None] = asyncio.Queue()

    async def body() -> None:
        begun.put_nowait(None)
        await asyncio.Future[None]()

    holding = asyncio.create_task(Lease(pool, "lent", uuid4(), 0.3).run_forever(body))
    async with asyncio.timeout(20):
        await begun.get()
        await pool.execute("DELETE FROM leases WHERE name = 'lent'")  # taken and given back
        await begun.get()
    holding.cancel()
    await asyncio.wait([holding])


async def test_a_turn_with_a_lease_that_went_well_for_long_ends_the_longer_pauses(
    pool: Pool,
) -> None:
    turns_s, now_s = [0, 0, 3600, 0], 0

    async def body() -> None:
        nonlocal now_s
        now_s += turns_s.pop(0)
        raise NodeUnavailable("for a moment")

    lease = Lease(pool, "interrupted", uuid4(), 60.0, clock=lambda: now_s)
    with capture_logs() as said, pytest.raises(IndexError):  # no more turns
        await lease.run_forever(body)
    pauses = [line["pause_s"] for line in said if line["event"] == "lease interrupted"]
    assert pauses == [0.05, 0.1, 0.05, 0.1]


async def test_a_worker_serves_health_and_metrics(settings: Settings, tmp_path: Path) -> None:
    async with worker(settings, "deposits", tmp_path) as (_, log):
        base = f"http://127.0.0.1:{await until_ready(log)}"
        async with aiohttp.ClientSession(base) as client:
            for path in ("/livez", "/readyz"):
                async with client.get(path) as answer:
                    assert answer.status == 200, await answer.text()

            async def compares_clocks() -> str | None:
                async with client.get("/metrics") as answer:
                    text = await answer.text()
                return None if "millrace_clock_skew_seconds 0.0\n" in text else text

            text = await until(compares_clocks)
    assert 'millrace_stage_records_total{stage="match_deposits"} 0.0' in text
    assert 'millrace_db_pool_connections{state="max"}' in text


async def test_a_worker_with_lag_and_no_progress_ends_itself(
    settings: Settings, pool: Pool, tmp_path: Path
) -> None:
    async with held_up(settings, pool, tmp_path, MILLRACE_STAGE_STALL_S="2") as (process, log):
        assert await asyncio.wait_for(process.wait(), END_S) == STALLED, log.read_text()
    assert "no progress" in log.read_text()


async def test_a_worker_is_left_alone_while_idle_and_when_work_comes_after_all(
    settings: Settings, tmp_path: Path
) -> None:
    async with worker(settings, "deposits", tmp_path, MILLRACE_STAGE_STALL_S="2") as (process, log):
        await until_ready(log)
        async with published(settings) as publisher:
            for _ in range(3):
                await asyncio.sleep(3)
                assert process.returncode is None, log.read_text()
                await tell(publisher, settings)


async def test_a_signer_without_its_key_says_what_is_missing(
    settings: Settings, tmp_path: Path
) -> None:
    async with worker(settings, "signer", tmp_path) as (process, log):
        assert await asyncio.wait_for(process.wait(), END_S) == 2
    assert "MILLRACE_WALLET_ENC_KEY" in log.read_text()
    assert "Traceback" not in log.read_text()
