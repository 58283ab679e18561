"""What a stage's runner promises when the broker, the database or its own code fail."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Sequence
from contextlib import suppress

import asyncpg
import pytest
from prometheus_client import CollectorRegistry, Counter
from pydantic import SecretStr
from structlog.testing import capture_logs

from agents.runtime.context import Context
from agents.runtime.publisher import Publisher
from agents.runtime.record import Record
from agents.runtime.run_stage import ATTEMPTS_MAX, StageRunner
from agents.runtime.stage import InvariantBroken, Stage, Work
from agents.runtime.transact import transact
from metrics.catalogue import REGISTRY
from settings.model import Settings
from sql.pool import Pool
from sql.stream import Partition
from tests.support.pipeline import MemoryKafka
from topics.topic import Topic

NUMBERS: Topic[int] = Topic("numbers", "number", int)
PARKED_MAX = 5


class Note(Stage[int, None]):
    """Notes numbers; a number noted twice, or below zero, is an error of the database."""

    name = "note"
    topic = NUMBERS

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.go_on = asyncio.Event()
        self.go_on.set()
        self.kills_connection = False
        self.faults: list[Exception] = []
        self.fails_to_commit = False
        self.counted = CollectorRegistry()
        self._numbers = Counter("numbers", "Numbers noted", registry=self.counted)

    async def prepare(self, records: Sequence[int]) -> None:
        self.asked.set()
        await self.go_on.wait()

    async def apply(self, work: Work, records: Sequence[int], _: None) -> None:
        await work.conn.fetch("SELECT * FROM noted")
        await work.conn.execute("INSERT INTO noted SELECT unnest($1::integer[])", list(records))
        work.count(self._numbers, len(records))
        if self.faults:
            raise self.faults.pop()
        if self.fails_to_commit:
            self.fails_to_commit = False
            await work.conn.execute("INSERT INTO judged_late VALUES (1), (1)")
        if self.kills_connection:
            self.kills_connection = False
            await work.conn.execute("SELECT pg_terminate_backend(pg_backend_pid())")


class OddLog(MemoryKafka):
    """A log of which the head may be gone, or records in between; it counts what is read."""

    first_kept = 0
    born_s = 0.0
    reads_max = 0

    async def bounds(self, partition: Partition) -> tuple[int, int]:
        log = self.topics[partition[0]]
        return self.first_kept, log[-1].offset + 1 if log else 0

    async def read(
        self, partition: Partition, start: int, end: int, records_max: int
    ) -> list[Record]:
        there = [x for x in self.topics[partition[0]] if start <= x.offset < end][:records_max]
        self.reads_max = max(self.reads_max, len(there))
        return there


class Scene:
    """A topic, and runners of one stage on it, each as of a process of its own."""

    def __init__(self, pool: Pool, database_url: str) -> None:
        settings = Settings(
            database_url=SecretStr(database_url),
            topic_prefix=f"{secrets.token_hex(4)}.",
            dead_letter_max_minute=PARKED_MAX,
        )
        self.pool = pool
        self.context = Context(settings, pool, {}, Publisher(settings))
        self.kafka = OddLog(settings.topic_prefix)
        self.topic = settings.topic_prefix + NUMBERS.name

    def runner(self, stage: Note | None = None) -> StageRunner:
        return StageRunner(stage or Note(), self.context, "cluster", self.kafka)

    def send(self, numbers: Sequence[object]) -> list[Record]:
        log = self.kafka.topics[self.topic]
        for number in numbers:
            offset = log[-1].offset + 1 if log else 0
            value = str(number).encode()
            log.append(Record(self.topic, 0, offset, None, value, self.kafka.born_s + offset))
        return log[-len(numbers) :]

    async def noted(self) -> list[int]:
        rows = await self.pool.fetch("SELECT number FROM noted ORDER BY number")
        return [row["number"] for row in rows]

    async def parked(self) -> int:
        count = await self.pool.fetchval(
            "SELECT count(*) FROM dead_letters WHERE topic = $1", self.topic
        )
        return int(count)


@pytest.fixture
async def scene(pool: Pool, database_url: str) -> Scene:
    await pool.execute("DROP TABLE IF EXISTS noted")
    await pool.execute("CREATE TABLE noted (number integer PRIMARY KEY CHECK (number >= 0))")
    await pool.execute("DROP TABLE IF EXISTS judged_late")
    await pool.execute(
        "CREATE TABLE judged_late (number integer UNIQUE DEFERRABLE INITIALLY DEFERRED)"
    )
    return Scene(pool, database_url)


async def test_a_repeated_batch_does_nothing(scene: Scene) -> None:
    batch = scene.send([1, 2, 3])
    await scene.runner().run(batch)
    await scene.runner().run(batch)
    assert await scene.noted() == [1, 2, 3]
    assert await scene.parked() == 0


async def test_a_batch_that_begins_behind_a_gap_does_the_gap_first(scene: Scene) -> None:
    batch = scene.send([1, 2, 3, 4])
    await scene.runner().run(batch[3:])
    assert await scene.noted() == [1, 2, 3, 4]


async def test_what_is_done_again_is_counted_once(scene: Scene) -> None:
    stage = Note()
    stage.faults = [ConnectionResetError()]  # the batch is tried again
    stage.fails_to_commit = True  # it is taken apart
    await scene.runner(stage).run(scene.send([1, 2, 3]))
    assert await scene.noted() == [1, 2, 3]
    assert stage.counted.get_sample_value("numbers_total") == 3


async def test_a_transaction_of_a_loop_is_counted_if_it_commits(scene: Scene) -> None:
    counted = CollectorRegistry()
    rounds = Counter("rounds", "Rounds made", registry=counted)
    for number in (1, 1, 2):
        with suppress(asyncpg.UniqueViolationError):
            async with transact(scene.context) as work:
                work.count(rounds)
                await work.conn.execute("INSERT INTO noted VALUES ($1)", number)
    assert await scene.noted() == [1, 2]
    assert counted.get_sample_value("rounds_total") == 2


async def test_a_record_that_comes_again_is_parked_and_counted_once(scene: Scene) -> None:
    def counted() -> float:
        value = REGISTRY.get_sample_value("millrace_dead_letters_total", {"stage": Note.name})
        return value or 0

    before = counted()
    batch = scene.send(["one", -2])
    await scene.runner().run(batch)
    await scene.runner().run(batch)
    assert await scene.parked() == 2
    assert counted() - before == 2


async def test_a_long_gap_is_read_batch_by_batch(scene: Scene) -> None:
    """After a restore it can be days of records, more than memory holds."""
    scene.send(range(20))
    stage = Note()
    stage.batch_max = 6
    await scene.runner(stage).run(scene.send([20]))
    assert await scene.noted() == list(range(21))
    assert scene.kafka.reads_max == 6


async def test_a_gap_of_records_that_are_no_more_is_passed(scene: Scene) -> None:
    """As a compacted topic has them, or one that is written in transactions."""
    batch = scene.send([1, 2, 3, 4])
    scene.kafka.topics[scene.topic][1:3] = []
    await scene.runner().run(batch[3:])
    await scene.runner().run(scene.send([5]))
    assert await scene.noted() == [1, 4, 5]


async def test_a_gap_at_the_end_of_a_topic_is_done_as_well(scene: Scene) -> None:
    scene.send([1, 2, 3, 4])
    runner = scene.runner()
    await runner.heal({(scene.topic, 0): 3})
    assert await scene.noted() == [1, 2, 3]
    assert runner.next_offset(scene.topic, 0) == 3


async def test_poison_is_parked_whole_and_the_rest_goes_on(scene: Scene) -> None:
    await scene.runner().run(scene.send([1, -2, "three", 4]))
    assert await scene.noted() == [1, 4]
    letters = await scene.pool.fetch(
        "SELECT payload, error FROM dead_letters WHERE topic = $1 ORDER BY id", scene.topic
    )
    assert {bytes(letter["payload"]) for letter in letters} == {b"-2", b"three"}


async def test_a_lost_connection_is_retried_and_parks_nothing(scene: Scene) -> None:
    stage = Note()
    stage.kills_connection = True
    await scene.runner(stage).run(scene.send([1, 2]))
    assert await scene.noted() == [1, 2]
    assert await scene.parked() == 0


@pytest.mark.parametrize(
    "fault",
    [
        # Seen when the server is killed under a transaction: the driver's own states collide.
        asyncpg.InternalClientError("cannot switch to state 12; another operation is in progress"),
        asyncpg.ReadOnlySQLTransactionError("cannot execute INSERT in a read-only transaction"),
        asyncpg.PostgresIOError("could not read block 7 in file base/5/2619: Input/output error"),
        asyncpg.IndexCorruptedError("index deposits_pkey contains unexpected zero page"),
        ConnectionResetError(),
    ],
    ids=lambda fault: type(fault).__name__,
)
async def test_a_fault_of_the_world_is_not_held_against_the_record(
    scene: Scene, fault: Exception
) -> None:
    stage = Note()
    stage.faults = [fault] * (1 + ATTEMPTS_MAX)  # enough to park what is the record's fault
    await scene.runner(stage).run(scene.send([1]))
    assert await scene.noted() == [1]
    assert await scene.parked() == 0


def retries() -> float:
    return REGISTRY.get_sample_value("millrace_stage_retries_total", {"stage": Note.name}) or 0


@pytest.mark.parametrize("setting", ["lock_timeout", "statement_timeout", "transaction_timeout"])
async def test_time_outs_that_an_administrator_set_park_nothing(scene: Scene, setting: str) -> None:
    """The inbox row is held by another for longer than the time-out, then let go."""
    runner = scene.runner()
    await runner.run(scene.send([1]))
    name = await scene.pool.fetchval("SELECT current_database()")
    async with scene.pool.acquire() as holder:
        await holder.execute(f"ALTER DATABASE {name} SET {setting} = '200ms'")
        await scene.pool.expire_connections()
        held = holder.transaction()
        await held.start()
        await holder.execute("SELECT FROM inbox WHERE topic = $1 FOR UPDATE", scene.topic)
        running = asyncio.create_task(runner.run(scene.send([2])))
        before = retries()
        while retries() < before + 3 and not running.done():  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0.01)
        await held.rollback()
        await holder.execute(f"ALTER DATABASE {name} RESET {setting}")
    await running
    await scene.pool.expire_connections()
    assert await scene.noted() == [1, 2]
    assert await scene.parked() == 0


async def test_a_migration_under_way_parks_nothing(scene: Scene) -> None:
    runner = scene.runner()
    held = [await scene.pool.acquire() for _ in range(9)]  # leaves one connection to the runner
    try:
        await runner.run(scene.send([1]))
        await held[0].execute("ALTER TABLE noted ALTER COLUMN number TYPE bigint")
        await runner.run(scene.send([2]))
    finally:
        for conn in held:
            await scene.pool.release(conn)
    assert await scene.noted() == [1, 2]
    assert await scene.parked() == 0


async def test_a_topic_made_anew_stops_the_worker(scene: Scene) -> None:
    await scene.runner().run(scene.send([1, 2, 3]))
    scene.kafka.topics[scene.topic].clear()
    with pytest.raises(InvariantBroken, match="made anew"):
        await scene.runner().run(scene.send([4]))
    assert await scene.noted() == [1, 2, 3]


async def test_a_topic_made_anew_and_filled_again_stops_the_worker(scene: Scene) -> None:
    await scene.runner().run(scene.send([1, 2, 3]))
    scene.kafka.topics[scene.topic].clear()
    scene.kafka.born_s += 10
    batch = scene.send([4, 5, 6, 7])
    with pytest.raises(InvariantBroken, match="made anew"):
        await scene.runner().run(batch)
    assert await scene.noted() == [1, 2, 3]


@pytest.mark.parametrize("kept", [0, 1, 3])
async def test_a_database_that_lost_commits_ends_the_worker_and_the_next_one_does_them_again(
    scene: Scene, kept: int
) -> None:
    """As when a standby takes over that had not received them yet."""
    runner = scene.runner()
    await runner.run(scene.send([0, 1]))
    await runner.run(scene.send([2, 3]))
    await scene.pool.execute(
        "UPDATE inbox SET next_offset = $1, last_ms = NULL WHERE topic = $2", kept, scene.topic
    )
    await scene.pool.execute("DELETE FROM noted WHERE number >= $1", kept)
    batch = scene.send([4])
    with pytest.raises(InvariantBroken, match="lost commits"):
        await runner.run(batch)
    await scene.runner().run(batch)
    assert await scene.noted() == [0, 1, 2, 3, 4]


async def test_a_retention_that_ran_past_the_stage_stops_the_worker(scene: Scene) -> None:
    await scene.runner().run(scene.send([1, 2]))
    scene.send([3, 4, 5])
    scene.kafka.first_kept = 4
    with pytest.raises(InvariantBroken, match="kept it only from 4"):
        await scene.runner().run(scene.kafka.topics[scene.topic][4:])
    assert await scene.noted() == [1, 2]


async def test_a_stage_that_begins_where_records_are_gone_already_says_so(scene: Scene) -> None:
    batch = scene.send([1, 2, 3])
    scene.kafka.first_kept = 2
    with capture_logs() as logs:
        await scene.runner().run(batch[2:])
    assert await scene.noted() == [3]
    [gone] = [entry for entry in logs if entry["log_level"] == "critical"]
    assert gone["kept_from"] == 2


async def test_a_stage_that_cannot_do_anything_stops_before_the_topic_is_emptied(
    scene: Scene,
) -> None:
    runner = scene.runner()
    batch = scene.send([-number for number in range(1, 50)])
    with pytest.raises(InvariantBroken, match="within a minute"):
        await runner.run(batch)
    assert await scene.parked() == PARKED_MAX


async def test_a_worker_that_lost_its_partition_and_does_not_know_changes_nothing(
    scene: Scene,
) -> None:
    batch = scene.send([1, 2, 3])
    stage = Note()
    stage.go_on.clear()
    zombie = asyncio.create_task(scene.runner(stage).run(batch))
    await stage.asked.wait()
    heir = scene.runner()
    await heir.run(batch)
    await heir.run(scene.send([4]))
    stage.go_on.set()
    await zombie
    assert await scene.noted() == [1, 2, 3, 4]
    assert await scene.parked() == 0


async def test_two_workers_on_one_partition_do_each_record_once(scene: Scene) -> None:
    batch = scene.send(list(range(30)))
    runners = [scene.runner() for _ in range(3)]
    for start in range(0, 30, 5):
        part = batch[start : start + 5]
        await asyncio.gather(*(runner.run(part) for runner in runners))
    assert await scene.noted() == list(range(30))
    assert await scene.parked() == 0
