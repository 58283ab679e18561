"""Runs a body while holding a lease, and again whenever the lease can be had."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import NoReturn
from uuid import UUID

import structlog

from agents.runtime.faults import PASSING_FAULTS, RETRY_S_MAX, RETRY_S_MIN
from metrics import catalogue
from sql import stream
from sql.pool import Pool

log = structlog.get_logger(__name__)


class LeaseLost(Exception):
    """Another worker has taken over; what this one was doing must not be committed."""


INTERRUPTIONS: tuple[type[Exception], ...] = (LeaseLost, *PASSING_FAULTS)
"""What ends a turn with a lease and is answered by trying for it again."""


class Lease:
    """A named right that one worker has at a time; it lapses when it is not renewed."""

    def __init__(
        self,
        pool: Pool,
        name: str,
        holder: UUID,
        lease_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._pool = pool
        self._name = name
        self._holder = holder
        self._lease_s = lease_s
        self._clock = clock
        self._gauge = catalogue.lease_held.labels(name)

    async def run_forever(self, body: Callable[[], Awaitable[None]]) -> NoReturn:
        """Run `body` whenever the lease is held; passing faults are retried, others raised."""
        pause_s = RETRY_S_MIN
        while True:
            began_at = self._clock()
            try:
                if await self._try():
                    await self._run_held(body)
                await asyncio.sleep(self._lease_s / 5)
            except INTERRUPTIONS as fault:
                if self._clock() - began_at > RETRY_S_MAX:
                    pause_s = RETRY_S_MIN  # it had gone well since the fault before
                log.warning(
                    "lease interrupted", lease=self._name, fault=repr(fault)[:300], pause_s=pause_s
                )
                await asyncio.sleep(pause_s)
                pause_s = min(pause_s * 2, RETRY_S_MAX)

    async def _run_held(self, body: Callable[[], Awaitable[None]]) -> None:
        log.info("lease taken", lease=self._name)
        self._gauge.set(1)
        tasks = [asyncio.ensure_future(body()), asyncio.ensure_future(self._renew())]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            self._gauge.set(0)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._give_back()

    async def _renew(self) -> NoReturn:
        while True:
            await asyncio.sleep(self._lease_s / 3)
            async with self._pool.acquire() as conn:
                # Not taken anew: whoever had it meanwhile changed what the body remembers.
                kept = await stream.renew_lease(conn, self._name, self._holder, self._lease_s)
            if not kept:
                raise LeaseLost(self._name)

    async def _try(self) -> bool:
        """Take the lease if it is free; whoever is stopped meanwhile leaves nothing behind."""
        try:
            return await self._take()
        except asyncio.CancelledError:  # it may be ours all the same: only the answer is missing
            await self._give_back()
            raise

    async def _take(self) -> bool:
        async with self._pool.acquire() as conn:
            return await stream.take_lease(conn, self._name, self._holder, self._lease_s)

    async def _give_back(self) -> None:
        with suppress(*PASSING_FAULTS):
            async with self._pool.acquire() as conn:
                await stream.release_lease(conn, self._name, self._holder)
