"""The loop that sends what is due. Any number of workers share the work.

Promised: each delivery is attempted at least once, then again by the schedule until it succeeds,
its schedule is spent, or its endpoint is disabled. A delivery claimed by a worker that dies is
sent by another within `lease_s` and a little. Not promised: order, and exactly once. A worker
killed between an answer and writing it down sends the webhook again, with the same webhook-id.
"""

from __future__ import annotations

import asyncio
import random as chance
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache, partial
from typing import TypeAlias, get_args
from uuid import uuid4

import aiohttp
import asyncpg
import asyncpg.pool
import structlog

from metrics.catalogue import webhook_attempts_total, webhook_delivery_seconds
from notifications.guard import ForbiddenAddress, check_url
from notifications.lanes import CLAIMS_PER_WINDOW, WINDOW_FIRST, Lanes
from notifications.outcomes import Attempt, disabled_event, judge, judge_health
from notifications.post import Answer, fail, post
from notifications.schedule import Result
from notifications.signing import SecretUnreadable, Signer
from sql import notifications as sql
from sql.notifications import Claim, DisabledRow, HealthRow
from sql.pool import Connection, Pool
from topics.events import Event

log = structlog.get_logger()

ListenerConnection: TypeAlias = "asyncpg.pool.PoolConnectionProxy[asyncpg.Record]"

Emit = Callable[[Connection, Sequence[Event]], Awaitable[None]]
"""Takes events that the loop itself gives rise to, inside the transaction that makes them true."""

CONTENT_HEADERS = {
    "content-type": "application/json",
    "user-agent": "Millrace-Webhooks/1",
    "accept-encoding": "identity",  # the log keeps the answer's text as it came
}
DATABASE_ERRORS = (
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    OSError,
)
REFUSALS = (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError)
"""What the database says of a row that it will never take."""


@dataclass(frozen=True)
class Limits:
    """How much a worker does at a time.

    What is for one tenant is less while others need the room; all have twice as much together.
    """

    flying_max: int = 256
    """Requests at a time to all endpoints of one tenant."""
    flying_endpoint_max: int = 32
    """Requests at a time to one endpoint that answers well."""
    held_max: int = 1000
    """Deliveries of one tenant claimed and not yet written down."""
    poll_s: float = 1.0
    """How often it looks for retries that became due; new deliveries announce themselves."""
    linger_s: float = 0.02
    """How long it gathers outcomes before it writes them."""
    lease_s: float = 5.0
    """A worker silent for so long is taken for dead."""
    stop_s: float = 3.0
    """How long requests under way may go on once the loop is told to stop."""
    disable_after: timedelta = timedelta(days=5)
    """An endpoint that failed whenever it was tried, from so long ago until now, is disabled."""


_check_url = lru_cache(8192)(check_url)
_ATTEMPTS = {result: webhook_attempts_total.labels(result) for result in get_args(Result)}


_now = partial(datetime.now, UTC)


class Deliverer:
    """One worker. It keeps two connections of `pool` while it runs and now and then takes a third.

    Claiming, sending and writing down go on side by side; each writes or reads many rows at once.
    """

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
        self._couriers: set[asyncio.Task[None]] = set()
        self._wanted = asyncio.Event()
        self._unwritten = asyncio.Event()
        self._more_due = False
        self._announced = False
        self._stopping = False
        self._fault: BaseException | None = None
        self._lose_claims()

    async def run(self) -> None:
        """Deliver until cancelled. What is under way then gets `stop_s` to end and is written down.

        Outages of the database are waited out. Any other exception is a fault of ours: it ends the
        loop, and its claims come back when the lease is over.
        """
        claiming = asyncio.create_task(self._claim_until_stopped())
        writing = asyncio.create_task(self._write_until_stopped())
        beating = asyncio.create_task(self._beat())
        tasks = (claiming, writing, beating)
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            self._stopping = True
            self._wanted.set()
            self._unwritten.set()
            beating.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._retire()

    async def _retire(self) -> None:
        try:
            async with self._pool.acquire() as conn:
                await self._settle(conn)
                await sql.retire_workers(conn, self._worker)
        except DATABASE_ERRORS as error:
            log.warning("webhooks_stopped_without_database", error=str(error))

    async def _claim_until_stopped(self) -> None:
        try:
            while not self._stopping:
                try:
                    async with self._pool.acquire() as conn, self._listening(conn):
                        while not self._stopping:
                            await self._claim_once(conn)
                except DATABASE_ERRORS as error:
                    log.warning("webhooks_wait_for_database", error=str(error))
                    self._lose_claims()
                    await asyncio.sleep(self._limits.poll_s)
        finally:
            await self._land_all()

    async def _claim_once(self, conn: Connection) -> None:
        self._wanted.clear()
        if self._has_lapsed():
            await self._renew()
        if self._has_room() or self._announced:
            self._announced = False
            claims = await self._claim(conn)
            self._more_due = bool(claims)
            self._lanes.add(claims)
        self._launch()
        try:
            await asyncio.wait_for(self._wanted.wait(), self._limits.poll_s)
        except TimeoutError:
            self._announced = True  # perhaps not, but it is time to look

    async def _land_all(self) -> None:
        self._lanes.clear()
        if self._couriers:
            await asyncio.wait(self._couriers, timeout=self._limits.stop_s)
        for courier in self._couriers:
            courier.cancel()

    async def _write_until_stopped(self) -> None:
        while not self._stopping:
            try:
                async with self._pool.acquire() as conn:
                    while not self._stopping:
                        await self._unwritten.wait()
                        self._unwritten.clear()
                        await self._settle(conn)
                        self._wanted.set()
                        await asyncio.sleep(self._limits.linger_s)
            except DATABASE_ERRORS as error:
                log.warning("webhooks_wait_for_database", error=str(error))
                self._unwritten.set()
                await asyncio.sleep(self._limits.poll_s)

    @asynccontextmanager
    async def _listening(self, conn: ListenerConnection) -> AsyncIterator[None]:
        await conn.add_listener("deliveries", self._on_announcement)
        try:
            yield
        finally:
            if conn.is_closed():
                conn.terminate()  # the pool warns of a listener that is left on it
            else:
                await conn.remove_listener("deliveries", self._on_announcement)

    def _on_announcement(self, *_: object) -> None:
        self._announced = True
        self._wanted.set()

    def _has_room(self) -> bool:
        return self._lanes.held <= self._limits.held_max // 2

    # The lease: without it claims are somebody else's.

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(self._limits.lease_s / 3)
            with suppress(*DATABASE_ERRORS):
                await self._renew()

    async def _renew(self) -> None:
        if self._has_lapsed():
            self._lose_claims()
        asked_at = time.monotonic()
        worker = self._worker
        async with self._pool.acquire() as conn:
            await sql.renew_worker(conn, worker, self._limits.lease_s)
        if worker == self._worker:
            self._lease_until = asked_at + self._limits.lease_s

    def _has_lapsed(self) -> bool:
        return time.monotonic() >= self._lease_until

    def _lose_claims(self) -> None:
        """Go on as a new worker: others may have our claims, or we may have some unknowingly."""
        self._lanes.clear()
        self._returned.clear()
        self._worker = uuid4()
        self._lease_until = float("-inf")

    # Claims, requests, outcomes.

    async def _claim(self, conn: Connection) -> list[Claim]:
        worker = self._worker
        claims = await sql.claim_deliveries(
            conn,
            worker,
            limit_rows=2 * self._limits.held_max - self._lanes.held,
            room_default=WINDOW_FIRST * CLAIMS_PER_WINDOW,
            rooms=self._lanes.rooms(),
            held_by=self._lanes.held_by(),
        )
        return claims if worker == self._worker else []

    def _launch(self) -> None:
        """Send whatever may be sent now."""
        if self._has_lapsed():
            self._lose_claims()
        while not self._stopping and (claim := self._lanes.take()) is not None:
            courier = asyncio.create_task(self._carry(claim))
            self._couriers.add(courier)
            courier.add_done_callback(self._on_courier_done)

    def _on_courier_done(self, courier: asyncio.Task[None]) -> None:
        self._couriers.discard(courier)
        if not courier.cancelled() and (error := courier.exception()) is not None:
            log.error("webhook_courier_failed", exc_info=error)
            self._fault = error
            self._unwritten.set()

    async def _carry(self, claim: Claim) -> None:
        """Send one delivery after the other for as long as there is one that may be sent."""
        following: Claim | None = claim
        while following is not None:
            await self._send(following)
            lost = self._stopping or self._has_lapsed()
            following = None if lost else self._lanes.take()
            self._launch()

    async def _send(self, claim: Claim) -> None:
        started_at = self._clock()
        answer = await self._attempt(claim, started_at)
        _ATTEMPTS[answer.result].inc()
        webhook_delivery_seconds.observe(answer.duration_s)
        self._keep(Attempt(claim, started_at, answer))
        returned = self._lanes.land(claim, succeeded=answer.result == "delivered")
        self._returned += [unsent.delivery_id for unsent in returned]
        self._unwritten.set()
        if self._more_due and self._has_room():
            self._wanted.set()

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

    def _keep(self, attempt: Attempt) -> None:
        """Let an attempt be written: the newest of a delivery, unless an older one delivered it."""
        known = self._landed.get(attempt.claim.delivery_id)
        if known is None or known.answer.result != "delivered":
            self._landed[attempt.claim.delivery_id] = attempt

    async def _settle(self, conn: Connection) -> None:
        """Write down what landed, and give back what will not be sent."""
        if self._fault is not None:
            raise self._fault
        landed, self._landed = self._landed, {}
        returned, self._returned = self._returned, []
        try:
            disabled = await self._write_all(conn, list(landed.values()), returned)
        except BaseException:
            newer, self._landed = self._landed, landed
            for attempt in newer.values():
                self._keep(attempt)
            self._returned += returned
            raise
        self._lanes.drop(disabled)
        self._lanes.unblock(attempt.claim.endpoint_id for attempt in landed.values())

    async def _write_all(
        self, conn: Connection, attempts: list[Attempt], returned: list[int]
    ) -> list[str]:
        """Write a batch, or one by one what the database takes of it; the rest waits for a restart.

        Else one answer that cannot be kept would hold up what all the others said.
        """
        with suppress(*REFUSALS):
            return await self._write(conn, attempts, returned)
        disabled = await self._write(conn, [], returned)
        for attempt in attempts:
            try:
                disabled += await self._write(conn, [attempt], [])
            except REFUSALS as error:
                delivery_id = attempt.claim.delivery_id
                log.error("webhook_outcome_refused", delivery_id=delivery_id, error=str(error))
        return disabled

    async def _write(
        self, conn: Connection, attempts: list[Attempt], returned: list[int]
    ) -> list[str]:
        """Write a batch in one transaction; return the endpoints that were disabled by it.

        Endpoints before deliveries, as whoever disables one locks them.
        """
        rows = [judge(attempt, self._random) for attempt in attempts]
        health = judge_health(attempts, self._lanes.is_failing)
        if rows and not health and not returned:
            await sql.record_outcomes(conn, self._worker, rows)
            return []
        async with conn.transaction():
            disabled = await self._write_health(conn, health)
            await sql.return_claims(conn, self._worker, returned)
            await sql.record_outcomes(conn, self._worker, rows)
            if disabled:
                await sql.cancel_deliveries(conn, [row.endpoint_id for row in disabled])
                now = self._clock()
                await self._emit(conn, [disabled_event(row, now) for row in disabled])
        for row in health:
            self._lanes.mark(row.endpoint_id, failing=not row.succeeded)
        return [row.endpoint_id for row in disabled]

    async def _write_health(self, conn: Connection, health: list[HealthRow]) -> list[DisabledRow]:
        await sql.record_health(conn, health)
        failing_s = self._limits.disable_after.total_seconds()
        return await sql.disable_endpoints(conn, health, failing_s=failing_s)
