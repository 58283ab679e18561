"""One worker process: a Faust app that runs the stages and loops of a role until it is stopped.

It ends itself with a status other than 0 whenever it cannot promise to go on (an invariant broken,
an agent crashed, no progress in spite of lag), and expects to be started again from outside.
"""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import faust
import structlog
import uvloop
from faust.tables import TableManager
from mode.supervisors import CrashingSupervisor

from agents.roles import ROLES, Role
from agents.runtime.assignor import SpreadingAssignor
from agents.runtime.clock import compare_clocks
from agents.runtime.context import Context, open_context
from agents.runtime.garbage import collect_seldom
from agents.runtime.health import health_checks
from agents.runtime.kafka_access import faust_options, has_access
from agents.runtime.kafka_log import KafkaLog
from agents.runtime.kafka_survey import read_cluster_id
from agents.runtime.lag import LagMeter
from agents.runtime.lease import Lease
from agents.runtime.one_loop import OneLoopTransport
from agents.runtime.record import Record
from agents.runtime.run_loop import run_loop
from agents.runtime.run_stage import StageRunner
from agents.runtime.take import Taker
from metrics import catalogue
from metrics.server import MetricsServer
from settings.logs import set_up_logs
from settings.model import Settings

log = structlog.get_logger(__name__)

STALLED = 70
"""Exit status of a worker that had lag and made no progress, or did not stop when told to."""
WATCH_S = 1.0
"""How often lag is measured, and looked whether the worker gets on."""
HEAL_S = 5.0
"""How often skipped records are looked for, and brokers asked where partitions end."""
METADATA_S = 30
"""New partitions of a topic are found within this."""
STOP_S = 15.0
"""A worker that stops ends its batches first, but no later than this: losing them is harmless."""
TELL_S = 1.0
"""Whoever takes the log may take no more of it, and a line to it then waits for good."""
BATCHES_HELD_MAX = 10
"""Of a stage, read from Kafka and waiting for their turn; and what a fetch brings beyond them."""
TAKING_S = 5.0
"""A batch is taken from memory, without waiting for anything."""
REBALANCE_S = 10.0
"""A worker has this long to end its batches when partitions are shared out anew; all others wait.

Then it is left out, and what it does all the same is dropped by the inbox. Less than STOP_S, so
that one told to stop meanwhile can still leave.
"""
START_S = 120.0
"""A worker that has not joined its group after this is taken for stuck."""


class MillraceApp(faust.App):  # type: ignore[misc]
    """A Faust app that closes what the worker opened, after its agents have stopped."""

    resources: AsyncExitStack

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - Faust is untyped
        super().__init__(*args, **kwargs)
        self.takers: dict[str, Taker[Any]] = {}
        """By stage."""

    async def batches_given_out(self) -> None:
        """Wait until no stage is amid taking a batch, no longer than TAKING_S.

        For a rebalance or the end Faust takes away what lies ready, and waits until all that was
        taken is done. A stage amid taking would wait for its next record: a rebalance took until
        the brokers gave the worker up, a minute.
        """
        until = time.monotonic() + TAKING_S
        while self._is_taking() and time.monotonic() < until:  # noqa: ASYNC110 - for microseconds
            await asyncio.sleep(0)

    def _is_taking(self) -> bool:
        return any(taker.amid for taker in self.takers.values())

    async def _stop_consumer(self) -> None:
        await self.batches_given_out()
        await super()._stop_consumer()

    def _on_rebalance_when_stopped(self) -> None:
        """Leave the consumer to the end, which closes it.

        Faust would close its connection, by which it has yet to leave the group: what a rebalance
        had just given it waited for the brokers to give it up.
        """

    def _new_transport(self) -> OneLoopTransport:
        return OneLoopTransport(self.conf.broker_consumer, self)

    async def on_shutdown(self) -> None:
        """Close pools, producers and sockets."""
        await super().on_shutdown()
        await self.resources.aclose()


class NoTables(TableManager):  # type: ignore[misc]
    """Faust waits a second for tables before it subscribes to topics; a worker has none."""

    async def on_start(self) -> None:
        """Do what Faust does after that second."""
        await self._update_channels()
        await self.recovery.start()


class FaustWorker(faust.Worker):  # type: ignore[misc]
    """Faust's process runner, with our logs instead of its own."""

    stop_asked_at: float | None = None

    def _setup_logging(self) -> None:
        """Leave alone what settings.logs has set up, and draw nothing between its lines."""
        self.spinner = None

    def _enter_debugger(self) -> None:
        """Open none: on SIGUSR2 Faust would, and hold up a worker, with its keys, at a console."""

    def _schedule_shutdown(self, number: signal.Signals) -> None:
        self.on_worker_shutdown()
        super()._schedule_shutdown(number)

    def on_worker_shutdown(self) -> None:
        """Note when it began: at a signal, or as soon as an agent crashed."""
        self.stop_asked_at = self.stop_asked_at or time.monotonic()


class Worker:
    """Puts one role together and runs it."""

    def __init__(self, settings: Settings, role_name: str) -> None:
        self._settings = settings
        self._role_name = role_name
        self._process: FaustWorker | None = None
        self._runners: list[StageRunner] = []
        self._caught_up_at: dict[str, float] = defaultdict(time.monotonic)
        self._passed_over: set[str] = set()
        """Stages of which a partition is not read, though others may be."""
        self._beat_at = time.monotonic()
        self._stall_s = max(START_S, settings.stage_stall_s)

    def run(self) -> None:
        """Run until SIGTERM or SIGINT; ends the process.

        Garbage may be left lying until all is loaded; from then on it is collected.
        """
        set_up_logs(self._settings)
        threading.Thread(target=self._watch, name="watchdog", daemon=True).start()
        loop = uvloop.new_event_loop()
        asyncio.set_event_loop(loop)
        app = loop.run_until_complete(self._open())
        collect_seldom()
        self._process = FaustWorker(app, loop=loop, redirect_stdouts=False, quiet=True)
        self._process.execute_from_commandline()

    async def _open(self) -> MillraceApp:
        """Open all that the app needs; on an error what is open already is closed again."""
        async with AsyncExitStack() as stack:
            context = await stack.enter_async_context(open_context(self._settings))
            role = await ROLES[self._role_name](context)
            cluster_id = await read_cluster_id(self._settings)
            kafka_log = KafkaLog(self._settings)
            for stage in role.stages:
                await stage.start()
                self._runners.append(StageRunner(stage, context, cluster_id, kafka_log))
            app = build_app(self._settings, self._role_name, self._runners)
            for body in self._bodies(app, context, role, kafka_log):
                app.task(_essential(body))
            await self._serve_metrics(stack, context)
            app.resources = stack.pop_all()
            return app

    def _bodies(
        self, app: MillraceApp, context: Context, role: Role, kafka_log: KafkaLog
    ) -> Sequence[Callable[[], Awaitable[None]]]:
        lease_s = self._settings.lease_s
        prefix = self._settings.topic_prefix
        meters = [
            LagMeter(app.consumer, prefix + runner.stage.topic.name, runner, kafka_log)
            for runner in self._runners
        ]
        return [
            partial(self._beat, meters),
            partial(self._heal, meters),
            partial(self._ask_ends, meters),
            partial(compare_clocks, context),
            context.outlet.run,
            *(partial(run_loop, loop, context) for loop in role.loops),
            *(
                partial(Lease(context.pool, name, context.holder, lease_s).run_forever, body)
                for name, body in role.leased
            ),
            *role.shared,
        ]

    async def _serve_metrics(self, stack: AsyncExitStack, context: Context) -> None:
        server = MetricsServer(*health_checks(context), shows_shared=_measures)
        port = await server.start(self._settings.metrics_host, self._settings.metrics_port)
        stack.push_async_callback(server.stop)
        log.info("worker ready", role=self._role_name, metrics_port=port, pid=os.getpid())

    async def _beat(self, meters: Sequence[LagMeter]) -> None:
        """Show that the event loop runs, and measure how far the stages are behind."""
        self._stall_s = self._settings.stage_stall_s
        while True:
            self._beat_at = time.monotonic()
            for meter in meters:
                if meter.measure() == 0:
                    self._caught_up_at[meter.runner.stage.name] = self._beat_at
            self._passed_over = {
                meter.runner.stage.name
                for meter in meters
                if meter.passed_over * WATCH_S > self._stall_s
            }
            await asyncio.sleep(WATCH_S)

    async def _heal(self, meters: Sequence[LagMeter]) -> None:
        """See to it that nothing stays skipped on partitions where nothing comes any more."""
        while True:
            await asyncio.sleep(HEAL_S)
            for meter in meters:
                await meter.runner.heal(meter.committed())

    async def _ask_ends(self, meters: Sequence[LagMeter]) -> None:
        """Ask where partitions end; end the worker if only its consumer is not told.

        aiokafka asks the brokers it knew, for ever, when all of them have other addresses now.
        """
        told_at = time.monotonic()
        while True:
            await asyncio.sleep(HEAL_S)
            told = [await meter.ask_ends() for meter in meters]
            if all(told) or not await has_access(self._settings):
                told_at = time.monotonic()
            elif time.monotonic() - told_at > self._stall_s:
                _end("brokers answer, but not the consumer: the worker ends itself")
            for meter in meters:
                await meter.look_closer()

    def _watch(self) -> None:
        """End the process if it stands still: in a thread, since the event loop itself may."""
        while True:
            time.sleep(WATCH_S)
            now = time.monotonic()
            stop_asked_at = self._process and self._process.stop_asked_at
            if stop_asked_at is not None and now - stop_asked_at > STOP_S:
                _end("work under way does not end, the worker ends itself")
            stuck = [
                runner.stage.name
                for runner in self._runners
                if now - max(runner.last_progress, self._caught_up_at[runner.stage.name])
                > self._stall_s
            ] or sorted(self._passed_over)
            if stuck or now - self._beat_at > self._stall_s:
                _end("no progress, the worker ends itself", stages=stuck or "event loop")


def _end(words: str, **details: object) -> NoReturn:
    """End the process, and say why if the log is taken."""
    telling = threading.Thread(target=partial(log.critical, words, **details), daemon=True)
    telling.start()
    telling.join(TELL_S)
    os._exit(STALLED)


def build_app(settings: Settings, role_name: str, runners: Sequence[StageRunner]) -> MillraceApp:
    """Return a Faust app with one agent a stage. Topics are made by `millrace init`, not here."""
    folder = Path(settings.data_dir, "faust")  # Faust wants one and keeps nothing in it
    folder.mkdir(parents=True, exist_ok=True)
    app = MillraceApp(
        settings.topic_prefix + role_name,
        **faust_options(settings),
        store="memory://",
        datadir=str(folder),
        topic_disable_leader=True,
        topic_allow_declare=False,
        web_enabled=False,
        broker_session_timeout=6.0,
        broker_heartbeat_interval=2.0,
        broker_rebalance_timeout=REBALANCE_S,
        consumer_metadata_max_age_ms=METADATA_S * 1000,
        agent_supervisor=CrashingSupervisor,
        PartitionAssignor=SpreadingAssignor,
        table_standby_replicas=1,  # there are no tables; with 0 Faust takes another assignor
        TableManager=NoTables,
    )
    app.producer_only = not runners
    for runner in runners:
        _add_agent(app, settings, runner)
    return app


def _add_agent(app: MillraceApp, settings: Settings, runner: StageRunner) -> None:
    topic = app.topic(
        settings.topic_prefix + runner.stage.topic.name,
        key_type=bytes,
        value_type=bytes,
        key_serializer="raw",
        value_serializer="raw",
    )

    batch_max = min(settings.stage_batch_max, runner.stage.batch_max)
    # Faust would hold 4,096, whatever their size: of blocks, gigabytes after an outage.
    topic.maxsize = BATCHES_HELD_MAX * batch_max

    async def agent(stream: Any) -> None:  # noqa: ANN401 - Faust is untyped
        # Acks by hand, after the commit: Faust's own acks lose messages when an agent raises.
        events = stream.noack().events()
        taker = Taker(events, batch_max, lambda: not stream.channel.queue.empty())
        app.takers[runner.stage.name] = taker
        async for batch in taker.batches():
            await runner.run([to_record(event.message) for event in batch])
            for event in batch:
                event.ack()

    app.agent(topic, name=runner.stage.name, concurrency=1)(agent)


def to_record(message: Any) -> Record:  # noqa: ANN401 - Faust is untyped
    """Return a Faust message as a record."""
    return Record(
        message.topic,
        message.partition,
        message.offset,
        message.key,
        message.value,
        message.timestamp,
    )


def _measures() -> bool:
    return bool(catalogue.lease_held.labels("measure_state")._value.get())


def _essential(body: Callable[[], Awaitable[None]]) -> Callable[[], Awaitable[None]]:
    """A body whose unexpected end ends the worker."""

    async def run() -> None:
        try:
            await body()
        except BaseException as fault:
            task = asyncio.current_task()
            if isinstance(fault, asyncio.CancelledError) and task is not None and task.cancelling():
                raise  # by whoever stops us, not by what the body waited for
            log.critical("worker ends itself", exc_info=True)
            os._exit(1)

    return run
