"""Faust's consumer on the worker's own event loop instead of in a thread of its own.

A record then reaches its stage without waking another thread twice, and nothing fights for
Python's lock with the stages. A worker whose event loop stands still misses its heartbeats, and its
partitions go to others, while Faust's thread would hold on to them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread, Consumer, Transport
from faust.types import TP
from mode.utils.futures import maybe_async

from agents.runtime.kafka_access import ISOLATION

WAIT_S = 0.1
"""For records, before Faust looks anew which partitions it holds and has room for."""
FULL_WAIT_S = 0.02
"""The same, and how long a broker holds a fetch without records, while a partition has no room.

A broker answers a client's fetches one after the other, so a partition that has room again waits
for the fetch of the others under way. Faust has brokers hold that for 1.5 s.
"""


class OneLoopTransport(Transport):  # type: ignore[misc]
    """Faust's way to Kafka, without its thread."""

    class Consumer(Consumer):  # type: ignore[misc]
        """Faust's consumer, whose thread is none."""

        def on_buffer_full(self, tp: TP) -> None:
            """Take no more of a partition until its stage has done most of what is held."""
            is_new = tp not in self._buffered_partitions
            super().on_buffer_full(tp)
            if is_new:
                self._thread.look_anew(full=bool(self._buffered_partitions))

        def on_buffer_drop(self, tp: TP) -> None:
            """Go on with a partition at once."""
            super().on_buffer_drop(tp)
            self._thread.look_anew(full=bool(self._buffered_partitions))

        async def on_partitions_revoked(self, revoked: set[TP]) -> None:
            """Wait for batches that are being taken, and forget which partitions had no room.

            Faust would remember them, and they may never come back.
            """
            await self.app.batches_given_out()
            self._buffered_partitions.difference_update(revoked)
            self._thread.look_anew(full=bool(self._buffered_partitions))
            await super().on_partitions_revoked(revoked)

        async def _wait_next_records(self, timeout: float) -> Any:  # noqa: ANN401 - Faust is untyped
            """Look again soon if no partition has room, or none is ours: Faust sleeps a second."""
            if self.flow_active and not self._active_partitions:
                await self.sleep(FULL_WAIT_S if self._buffered_partitions else WAIT_S)
                return {}, set()
            return await super()._wait_next_records(timeout)

        def _new_consumer_thread(self) -> NoThread:
            return NoThread(
                self, loop=self.loop, thread_loop=self.loop, Worker=LoopTask, beacon=self.beacon
            )


class NoThread(AIOKafkaConsumerThread):  # type: ignore[misc]
    """What Faust believes to be a thread with an event loop: a task of ours."""

    async def call_thread(
        self,
        fun: Callable[..., Any],
        *args: Any,  # noqa: ANN401 - Faust is untyped
        **kwargs: Any,  # noqa: ANN401
    ) -> Any:  # noqa: ANN401
        """Call at once what Faust would have a thread call."""
        return await maybe_async(fun(*args, **kwargs))

    def _create_worker_consumer(self, transport: Transport) -> Any:  # noqa: ANN401
        """Leave out what a producer took back: an order of an aborted transaction is none."""
        consumer = super()._create_worker_consumer(transport)
        consumer._isolation_level = ISOLATION
        return consumer

    async def getmany(
        self,
        active_partitions: Any,  # noqa: ANN401
        timeout: float,
    ) -> Any:  # noqa: ANN401
        """Wait no longer than `WAIT_S`: partitions that have room again are not waited for."""
        return await super().getmany(active_partitions, min(timeout, WAIT_S))

    def look_anew(self, *, full: bool) -> None:
        """Have records that are here handed out, and the next fetches held shortly if `full`."""
        consumer = self._consumer
        if consumer is not None and consumer._fetcher is not None:
            usual_ms = consumer._fetch_max_wait_ms
            consumer._fetcher._fetch_max_wait_ms = int(FULL_WAIT_S * 1000) if full else usual_ms
            for waiter in list(consumer._fetcher._fetch_waiters):
                consumer._fetcher._notify(waiter)

    async def _gather_remaining_tasks(self) -> None:
        """Leave the tasks of the loop alone: they are the whole worker's."""


class LoopTask:
    """Runs such a service where it was started; has the methods of a thread that Faust calls."""

    def __init__(self, service: NoThread) -> None:
        self._service = service
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Run the service."""
        self._task = asyncio.create_task(self._service._serve())

    def stop(self) -> None:
        """Nothing is left to wait for: Faust calls this once the service has ended."""
