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
from mode.utils.futures import maybe_async

from agents.runtime.kafka_access import ISOLATION

WAIT_S = 0.1
"""For records, before Faust looks anew which partitions it holds and has room for."""


class OneLoopTransport(Transport):  # type: ignore[misc]
    """Faust's way to Kafka, without its thread."""

    class Consumer(Consumer):  # type: ignore[misc]
        """Faust's consumer, whose thread is none."""

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
