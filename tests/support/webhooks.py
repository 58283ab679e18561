"""Receivers of webhooks: real HTTP servers that answer as told and remember what they got."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from aiohttp import web
from standardwebhooks import Webhook

from custody.box import SecretBox
from notifications import endpoints, store
from notifications.deliver import Deliverer, Emit, Limits
from notifications.guard import open_session
from notifications.signing import Signer
from sql import notifications as sql
from sql.notifications import DeliveryRow
from sql.pool import Connection, Pool
from topics.event_data import HotWallet
from topics.events import Event, HotWalletLow, make_event_id

BOX = SecretBox("a passphrase of the tests", iterations=10)
LIMITS = Limits(poll_s=0.05, lease_s=60.0, stop_s=0.2)
"""Quick to look, slow to take a worker for dead: on a busy machine it may be silent for a while."""


class Received(NamedTuple):
    """One request as it came in."""

    headers: dict[str, str]
    body: bytes

    @property
    def event_id(self) -> str:
        return self.headers["webhook-id"]


Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class Receiver:
    """An HTTP server. `answer` decides on every request; it may be replaced while it runs."""

    answer: Answer
    url: str = ""
    received: list[Received] = field(default_factory=list)
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.received.append(Received(headers, await request.read()))
        async with self.changed:
            self.changed.notify_all()
        return await self.answer(request)

    async def wait_for(self, count: int) -> list[Received]:
        """Return what came in as soon as it is `count` requests."""
        async with asyncio.timeout(15), self.changed:
            await self.changed.wait_for(lambda: len(self.received) >= count)
        return self.received


def answer_with(status: int, headers: dict[str, str] | None = None, text: str = "") -> Answer:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(status=status, headers=headers, text=text)

    return answer


async def hang(_: web.Request) -> web.Response:
    await asyncio.sleep(3600)
    return web.Response()


@asynccontextmanager
async def receive(answer: Answer | None = None) -> AsyncIterator[Receiver]:
    """Run a receiver that says 204 unless told otherwise."""
    receiver = Receiver(answer or answer_with(204))
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", receiver.handle)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    receiver.url = f"http://{host}:{port}/hook"
    try:
        yield receiver
    finally:
        await runner.cleanup()


@asynccontextmanager
async def deliver(
    pool: Pool,
    *,
    emit: Emit | None = None,
    clock: Callable[[], datetime] | None = None,
    timeout_s: float = 30.0,
    allow_private: bool = True,
    limits: Limits = LIMITS,
) -> AsyncIterator[None]:
    """Run a delivery worker."""
    async with open_session(allow_private=allow_private, timeout_s=timeout_s) as session:
        worker = Deliverer(
            pool,
            session,
            Signer(BOX),
            emit=emit or _emit_nothing,
            allow_private=allow_private,
            limits=limits,
            clock=clock or now,
            random=lambda: 0.5,
        )
        running = asyncio.create_task(worker.run())
        try:
            yield
        finally:
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running


async def _emit_nothing(_: Connection, events: Sequence[Event]) -> None:
    raise AssertionError(events)


def now() -> datetime:
    return datetime.now(UTC)


class Tenant(NamedTuple):
    """A tenant with one endpoint."""

    tenant: str
    endpoint_id: str
    webhook: Webhook


async def register(
    pool: Pool, tenant: str, url: str, event_types: Sequence[str] | None = None
) -> Tenant:
    """Give a tenant an endpoint; make the tenant if need be."""
    async with pool.acquire() as conn:
        await conn.execute(
            "INSERT INTO tenants (tenant, name) VALUES ($1, $1) ON CONFLICT DO NOTHING", tenant
        )
        endpoint = await endpoints.register_endpoint(
            conn, BOX, tenant, url, now(), event_types=event_types, allow_private=True
        )
    return Tenant(tenant, endpoint.endpoint_id, Webhook(endpoint.secret))


def make_event(tenant: str, number: int = 0) -> Event:
    """Return an event; the same arguments give the same one."""
    occurred_at = datetime(2026, 1, 1, tzinfo=UTC)
    return HotWalletLow(
        id=make_event_id(occurred_at, "hot_wallet.low", tenant, number),
        tenant=tenant,
        occurred_at=occurred_at,
        data=HotWallet(
            network="eip155:1",
            asset="ETH",
            address="0x" + "00" * 20,
            balance_minor=str(number),
            threshold_minor="10000000000000000000",
        ),
    )


async def store_event(pool: Pool, *events: Event) -> None:
    async with pool.acquire() as conn, conn.transaction():
        await store.store_events(conn, events, now())


async def let_pass(pool: Pool, tenant: str, span: timedelta) -> None:
    """Let what waits for a moment have waited for longer, as if so much time had passed."""
    async with pool.acquire() as conn, conn.transaction():
        await conn.execute(
            "UPDATE endpoints SET failing_since = failing_since - $2::interval,"
            " paused_until = paused_until - $2::interval WHERE tenant = $1",
            tenant,
            span,
        )
        await conn.execute(
            "UPDATE deliveries SET next_attempt_at = next_attempt_at - $2::interval FROM endpoints"
            " WHERE deliveries.endpoint_id = endpoints.endpoint_id AND tenant = $1",
            tenant,
            span,
        )


async def settled(pool: Pool, tenant: str, state: str, count: int = 1) -> list[DeliveryRow]:
    """Return the deliveries in a state as soon as there are `count`."""
    async with asyncio.timeout(15):
        while True:
            async with pool.acquire() as conn:
                rows = await sql.list_deliveries(conn, tenant, state=state, limit_rows=1000)
            if len(rows) >= count:
                return rows
            await asyncio.sleep(0.02)


async def attempted(pool: Pool, tenant: str) -> DeliveryRow:
    """Return the tenant's one delivery as soon as an attempt was written down."""
    async with asyncio.timeout(15):
        while True:
            async with pool.acquire() as conn:
                rows = await sql.list_deliveries(conn, tenant)
            if rows and rows[0].attempts:
                return rows[0]
            await asyncio.sleep(0.02)


async def attempts_written(pool: Pool, tenant: str, count: int) -> None:
    async with asyncio.timeout(15):
        while True:
            async with pool.acquire() as conn:
                rows = await sql.list_deliveries(conn, tenant)
            if rows[0].attempts >= count:
                return
            await asyncio.sleep(0.02)


async def hears(told: list[Event]) -> None:
    async with asyncio.timeout(15):
        while not told:  # noqa: ASYNC110 - as simple as a test should be
            await asyncio.sleep(0.02)
