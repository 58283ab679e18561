"""The loop that sends what is due. Any number of workers share the work.

Promised: each delivery is attempted at least once, then again by the schedule until it succeeds,
its schedule is spent, or its endpoint is disabled. A delivery claimed by a worker that dies is
sent by another within `lease_s` and a little. Not promised: order, and exactly once. A worker
killed between an answer and writing it down sends the webhook again, with the same webhook-id.
"""

from __future__ import annotations

import asyncio
import random as chance
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import TypeAlias
from uuid import uuid4

import aiohttp
import asyncpg
import asyncpg.pool
import structlog

from metrics.catalogue import webhook_attempts_total, webhook_delivery_seconds
from notifications.guard import ForbiddenAddress, check_url
from notifications.lanes import CLAIMS_PER_WINDOW, WINDOW_FIRST, Lanes
from notifications.outcomes import Attempt, disabled_event, gone_ids, judge, judge_health
from notifications.post import Answer, fail, post
from notifications.signing import SecretUnreadable, Signer
from sql import notifications as sql
from sql.notifications import Claim
from sql.pool import Connection, Pool
from topics.events import Event

log = structlog.get_logger()

ListenerConnection: TypeAlias = "asyncpg.pool.PoolConnectionProxy[asyncpg.Record]"

Emit = Callable[[Connection, Sequence[Event]], Awaitable[None]]
"""Takes events that the loop itself gives rise to, inside the transaction that makes them true."""

CONTENT_HEADERS = {"content-type": "application/json", "user-agent": "Millrace-Webhooks/1"}
DATABASE_ERRORS = (asyncpg.PostgresError, asyncpg.InterfaceError, OSError)


@dataclass(frozen=True)
class Limits:
    """How much a worker does at a time."""

    flying_max: int = 256
    """Requests at a time to all endpoints together."""
    flying_endpoint_max: int = 32
    """Requests at a time to one endpoint that answers well."""
    held_max: int = 1000
    """Deliveries claimed and not yet written down."""
    poll_s: float = 1.0
    """How often it looks for retries that became due; new deliveries announce themselves."""
    linger_s: float = 0.005
    """How long it gathers outcomes before it writes them."""
    lease_s: float = 5.0
    """A worker silent for so long is taken for dead."""
    stop_s: float = 3.0
    """How long requests under way may go on once the loop is told to stop."""
    disable_after: timedelta = timedelta(days=5)
    """An endpoint that failed whenever it was tried, from so long ago until now, is disabled."""


_check_url = lru_cache(8192)(check_url)


def _now() -> datetime:
    return datetime.now(UTC)


class Deliverer:
    """One worker. It needs three connections of `pool`: to listen, to say it lives, to work."""

    def __init__(
        self,
        pool: Pool,
        session: aiohttp.ClientSession,
        signer: Signer,
        *,
        emit: Emit,
        allow_private: bool = False,
        limits: Limits | None = None,
        clock: Callable[[], datetime] = _now,
        random: Callable[[], float] = chance.random,
    ) -> None:
        self._pool = pool
        self._session = session
        self._signer = signer
        self._emit = emit
        self._allow_private = allow_private
        self._limits = limits or Limits()
        self._clock = clock
        self._random = random
        self._lanes = Lanes(self._limits.flying_max, self._limits.flying_endpoint_max)
        self._landed: dict[int, Attempt] = {}
        self._returned: list[int] = []
        self._requests: set[asyncio.Task[None]] = set()
        self._wake = asyncio.Event()
        self._stopping = False
        self._crash: BaseException | None = None
        self._listener: ListenerConnection | None = None
        self._lose_claims()

    async def run(self) -> None:
        """Deliver until cancelled. What is under way then gets `stop_s` to end and is written down.

        Outages of the database are waited out. Any other exception is a fault of ours: it ends the
        loop, and its claims come back when the lease is over.
        """
        beating = asyncio.create_task(self._beat())
        turning = asyncio.create_task(self._turn_until_stopped())
        try:
            await asyncio.shield(turning)
        finally:
            self._stopping = True
            self._wake.set()
            await asyncio.gather(turning, return_exceptions=True)
            beating.cancel()
            await asyncio.gather(beating, return_exceptions=True)

    async def _turn_until_stopped(self) -> None:
        try:
            while not self._stopping:
                await self._turn_or_wait()
                await self._rest()
        finally:
            self._stopping = True
            await self._stop()

    async def _turn_or_wait(self) -> None:
        try:
            await self._listen()
            await self._turn()
        except DATABASE_ERRORS as error:
            log.warning("webhooks_wait_for_database", error=str(error))
            self._lose_claims()
            await self._sleep(self._limits.poll_s)

    async def _turn(self) -> None:
        if self._crash is not None:
            raise self._crash
        await self._settle()
        if self._has_lapsed():
            await self._renew()
        if self._lanes.held <= self._limits.held_max // 2:
            self._lanes.add(await self._claim())
        self._launch()

    async def _rest(self) -> None:
        """Wait until something landed or was announced, or until it is time to look."""
        await self._sleep(self._limits.poll_s)
        if self._lanes.flying and not self._stopping:
            await asyncio.sleep(self._limits.linger_s)
        self._wake.clear()

    async def _sleep(self, seconds: float) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._wake.wait(), seconds)

    async def _stop(self) -> None:
        self._lanes.clear()
        if self._requests:
            await asyncio.wait(self._requests, timeout=self._limits.stop_s)
        for request in self._requests:
            request.cancel()
        try:
            await self._settle()
            async with self._pool.acquire() as conn:
                await sql.retire_worker(conn, self._worker)
            await self._unlisten()
        except DATABASE_ERRORS as error:
            log.warning("webhooks_stopped_without_database", error=str(error))

    # The lease: without it claims are somebody else's.

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(self._limits.lease_s / 3)
            with suppress(*DATABASE_ERRORS):
                await self._renew()

    async def _renew(self) -> None:
        if self._has_lapsed():
            self._lose_claims()
        asked_at = asyncio.get_running_loop().time()
        worker = self._worker
        async with self._pool.acquire() as conn:
            await sql.renew_worker(conn, worker, self._limits.lease_s)
            await sql.release_claims(conn)
        if worker == self._worker:
            self._lease_until = asked_at + self._limits.lease_s

    def _has_lapsed(self) -> bool:
        return asyncio.get_running_loop().time() >= self._lease_until

    def _lose_claims(self) -> None:
        """Go on as a new worker: others may have our claims, or we may have some unknowingly."""
        self._lanes.clear()
        self._returned.clear()
        self._worker = uuid4()
        self._lease_until = float("-inf")

    async def _listen(self) -> None:
        if self._listener is not None and not self._listener.is_closed():
            return
        await self._unlisten()
        conn = await self._pool.acquire()
        self._listener = conn
        await conn.add_listener("deliveries", self._on_announcement)

    async def _unlisten(self) -> None:
        conn, self._listener = self._listener, None
        if conn is not None:
            if not conn.is_closed():
                await conn.remove_listener("deliveries", self._on_announcement)
            await self._pool.release(conn)

    def _on_announcement(self, *_: object) -> None:
        self._wake.set()

    # Claims, requests, outcomes.

    async def _claim(self) -> list[Claim]:
        async with self._pool.acquire() as conn:
            return await sql.claim_deliveries(
                conn,
                self._worker,
                self._clock(),
                limit_rows=self._limits.held_max - self._lanes.held,
                room_default=WINDOW_FIRST * CLAIMS_PER_WINDOW,
                rooms=self._lanes.rooms(),
            )

    def _launch(self) -> None:
        if self._has_lapsed():
            self._lose_claims()
        while not self._stopping and (claim := self._lanes.take()) is not None:
            request = asyncio.create_task(self._send(claim))
            self._requests.add(request)
            request.add_done_callback(self._on_request_done)

    def _on_request_done(self, request: asyncio.Task[None]) -> None:
        self._requests.discard(request)
        if not request.cancelled() and request.exception() is not None:
            self._crash = request.exception()
        self._wake.set()

    async def _send(self, claim: Claim) -> None:
        started_at = self._clock()
        answer = await self._attempt(claim, started_at)
        webhook_attempts_total.labels(answer.result).inc()
        webhook_delivery_seconds.observe(answer.duration_s)
        delivered = answer.result == "delivered"
        earlier = self._landed.get(claim.delivery_id)
        if earlier is None or delivered:
            self._landed[claim.delivery_id] = Attempt(claim, started_at, answer)
        returned = self._lanes.land(claim, succeeded=delivered)
        self._returned += [unsent.delivery_id for unsent in returned]
        self._launch()

    async def _attempt(self, claim: Claim, moment: datetime) -> Answer:
        sealed = [secret for secret in (claim.secret, claim.previous_secret) if secret is not None]
        try:
            url = _check_url(claim.url, allow_private=self._allow_private)
            signature = self._signer.sign(
                claim.endpoint_id, sealed, claim.event_id, moment, claim.payload
            )
        except (ForbiddenAddress, SecretUnreadable) as error:
            return fail(error)
        return await post(self._session, url, CONTENT_HEADERS | signature, claim.payload)

    async def _settle(self) -> None:
        landed, self._landed = self._landed, {}
        returned, self._returned = self._returned, []
        if not landed and not returned:
            return
        try:
            async with self._pool.acquire() as conn, conn.transaction():
                await sql.return_claims(conn, self._worker, returned)
                disabled = await self._write(conn, list(landed.values()))
        except BaseException:
            self._landed = landed | self._landed
            self._returned += returned
            raise
        self._lanes.drop(disabled)

    async def _write(self, conn: Connection, attempts: list[Attempt]) -> list[str]:
        """Write down attempts and what follows from them; return endpoints that were disabled."""
        if not attempts:
            return []
        rows = [judge(attempt, self._random) for attempt in attempts]
        await sql.record_outcomes(conn, self._worker, rows)
        health = judge_health(attempts, self._lanes.is_failing)
        if not health:
            return []
        await sql.record_health(conn, health)
        for row in health:
            self._lanes.mark(row.endpoint_id, failing=not row.succeeded)
        failing_ids = [row.endpoint_id for row in health if not row.succeeded]
        return await self._disable(conn, gone_ids(attempts), failing_ids)

    async def _disable(
        self, conn: Connection, gone: list[str], failing_ids: list[str]
    ) -> list[str]:
        now = self._clock()
        disabled = await sql.disable_endpoints(
            conn,
            gone_ids=gone,
            failing_ids=failing_ids,
            failing_before=now - self._limits.disable_after,
            now=now,
        )
        if disabled:
            await sql.cancel_deliveries(conn, [row.endpoint_id for row in disabled])
            await self._emit(conn, [disabled_event(row, now) for row in disabled])
        return [row.endpoint_id for row in disabled]
