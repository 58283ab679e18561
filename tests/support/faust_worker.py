"""A worker process whose one stage raises on order: ours, or a plain Faust agent beside it.

    python -m tests.support.faust_worker KIND

Numbers come in on a topic and are noted in a table. Every 20th is poison: it raises, always
("ours") or the first time only ("plain", which is the milder fault). "deaf" is ours until its
consumer is told to fetch no more, "forgetful" until it is told to fetch no more from partition 0.
"telling" writes down how long the broker may hold each fetch, and "sluggish" takes its time to put
records that lie ready into a batch. "holding" holds its first record until it is told to go on,
"doomed" until it is told that an invariant is broken. "late" is never ready, and "let_down" has a
loop that waits for what somebody else cancels.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import asyncpg
import faust
from aiokafka.consumer.fetcher import Fetcher

from agents import worker
from agents.roles import ROLES, Role
from agents.runtime.context import Context
from agents.runtime.stage import InvariantBroken, LocalStage, Work
from agents.runtime.take import Taker
from agents.worker import Worker
from settings.model import Settings
from topics.topic import Topic

EVERY = 20
NUMBERS: Topic[int] = Topic("numbers", "number", int)
NOTE = "INSERT INTO noted (number) SELECT unnest($1::integer[])"


class Note(LocalStage[int]):
    """Notes numbers, without any protection against repeats: a second time is an error."""

    name = "note"
    topic = NUMBERS

    async def apply(self, work: Work, records: Sequence[int], _: None) -> None:
        await work.conn.execute(NOTE, list(records))
        if poison := [number for number in records if number % EVERY == 0]:
            raise ValueError(f"poison: {poison}")


async def _torment(context: Context) -> Role:
    return Role(stages=(Note(),))


def run_ours() -> None:
    """Run the stage as every stage of a worker runs."""
    ROLES["torment"] = _torment
    Worker(Settings(), "torment").run()


def run_deaf() -> None:
    """Run ours, whose fetching fails as by a fault of the client once the file `deaf` is there."""
    ask = Fetcher._get_actions_per_node
    deaf = Path(Settings().data_dir, "deaf")

    def ask_or_fail(self: Fetcher, assignment: object) -> object:
        if deaf.exists():
            raise RuntimeError("deaf")
        return ask(self, assignment)

    Fetcher._get_actions_per_node = ask_or_fail
    run_ours()


def run_forgetful() -> None:
    """Run ours, whose client forgets partition 0 once the file `forgetful` is there."""
    ask = Fetcher._get_actions_per_node
    forgetful = Path(Settings().data_dir, "forgetful")

    def ask_for_the_others(self: Fetcher, assignment: Any) -> object:  # noqa: ANN401
        tps = [tp for tp in assignment.tps if tp.partition or not forgetful.exists()]
        return ask(self, SimpleNamespace(tps=tps, state_value=assignment.state_value))

    Fetcher._get_actions_per_node = ask_for_the_others
    run_ours()


def run_telling() -> None:
    """Run ours, which adds to the file `held_ms` how long each fetch may be held by the broker."""
    ask = Fetcher._get_actions_per_node
    held_ms = Path(Settings().data_dir, "held_ms")

    def ask_and_tell(self: Fetcher, assignment: object) -> Any:  # noqa: ANN401
        actions = ask(self, assignment)
        with held_ms.open("a") as told:
            told.writelines(f"{request._max_wait_ms}\n" for _, request in actions[0])
        return actions

    Fetcher._get_actions_per_node = ask_and_tell
    run_ours()


class SluggishTaker(Taker[Any]):
    """Takes one record in 50 ms."""

    def __init__(
        self, items: AsyncIterator[Any], size_max: int, more_ready: Callable[[], bool]
    ) -> None:
        super().__init__(self._slowly(items), size_max, more_ready)

    async def _slowly(self, items: AsyncIterator[Any]) -> AsyncIterator[Any]:
        async for item in items:
            yield item
            await asyncio.sleep(0.05)


def run_sluggish() -> None:
    """Run ours, which is nearly always amid taking a batch."""
    vars(worker)["Taker"] = SluggishTaker
    run_ours()


async def _told(word: str) -> None:
    """Wait until the file with this name is there."""
    while not Path(Settings().data_dir, word).exists():  # noqa: ASYNC110, ASYNC240
        await asyncio.sleep(0.1)


class Holding(Note):
    """Notes nothing before the file `go_on` is there. Holding its first record it makes `held`."""

    async def prepare(self, records: Sequence[int]) -> None:
        Path(Settings().data_dir, "held").touch()  # noqa: ASYNC240
        await _told("go_on")


def run_holding() -> None:
    """Run a stage that holds its first record until it is told to go on."""

    async def holding(_: Context) -> Role:
        return Role(stages=(Holding(),))

    ROLES["torment"] = holding
    Worker(Settings(), "torment").run()


class Doomed(Note):
    """Breaks an invariant once the file `doomed` is there."""

    async def apply(self, work: Work, records: Sequence[int], _: None) -> None:
        await _told("doomed")
        raise InvariantBroken("doomed")


def run_doomed() -> None:
    """Run a stage that holds its first record until it breaks an invariant."""

    async def doomed(_: Context) -> Role:
        return Role(stages=(Doomed(),))

    ROLES["torment"] = doomed
    Worker(Settings(), "torment").run()


def run_late() -> None:
    """Run a worker that is given three seconds to begin, and never gets to an end with that."""

    async def late(_: Context) -> Role:
        return await asyncio.Future[Role]()

    worker.START_S = 3.0
    ROLES["torment"] = late
    Worker(Settings(), "torment").run()


def run_let_down() -> None:
    """Run ours beside a loop that is cancelled by nobody, but what it waits for is."""

    async def wait() -> None:
        awaited = asyncio.get_running_loop().create_future()
        awaited.cancel()
        await awaited

    async def let_down(_: Context) -> Role:
        return Role(stages=(Note(),), shared=(wait,))

    ROLES["torment"] = let_down
    Worker(Settings(), "torment").run()


def run_plain() -> None:
    """Run what Faust's own documentation shows: `async for`, acked by Faust."""
    settings = Settings()
    app = faust.App(
        settings.topic_prefix + "plain",
        broker=f"kafka://{settings.kafka_bootstrap}",
        store="memory://",
        datadir=settings.data_dir,
        topic_disable_leader=True,
        topic_allow_declare=False,
        web_enabled=False,
        broker_commit_interval=0.5,
    )
    topic = app.topic(
        settings.topic_prefix + NUMBERS.name, value_type=bytes, value_serializer="raw"
    )
    raised: set[int] = set()

    async def agent(stream: Any) -> None:  # noqa: ANN401 - Faust is untyped
        conn = await asyncpg.connect(settings.database_url.get_secret_value())
        async for value in stream:
            number = int(value)
            if number % EVERY == 0 and number not in raised:
                raised.add(number)
                raise ValueError(f"the first time: {number}")
            await conn.execute(NOTE, [number])

    app.agent(topic)(agent)
    faust.Worker(app, loglevel="ERROR").execute_from_commandline()


if __name__ == "__main__":
    os.environ.setdefault("MILLRACE_METRICS_PORT", "0")
    globals()[f"run_{sys.argv[1]}"]()
