"""Signed webhooks with a durable log, measured beside a bare loop of aiohttp posts.

Both post the same bodies with the same number of requests at a time to the same receiver, a
process of its own that reads the body and says 204: as many as a worker has by itself, and fewer,
which suits the bare loop better. Ours also keeps the events, claims, signs, and writes every
attempt down, all within the time measured. They take turns; figures are medians of the rounds.
`python -m benchmarks.webhooks DATABASE_URL`, on a migrated database.
"""

from __future__ import annotations

import asyncio
import itertools
import statistics
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import aiohttp
import uvloop
from aiohttp import web

from benchmarks.site import in_turns
from notifications import endpoints, store
from notifications.deliver import Deliverer, Limits
from notifications.guard import open_session
from notifications.signing import Signer
from sql.pool import Connection, Pool, open_pool
from topics.event_data import Deposit
from topics.events import DepositConfirmed, Event, encode_event, make_event_id

TENANT = "bench-webhooks"
ENDPOINTS = 8
FLYING = Limits().flying_max
"""Requests at a time, ours and the reference's."""
FLYING_FEW = 64
EVENTS = 2000
ROUNDS = 6
DELIVERIES = ENDPOINTS * EVENTS
BATCH = 200
_numbers = itertools.count()


class PlainBox:
    """No encryption: a secret is decrypted once a process, so it would not show."""

    def encrypt(self, secret: bytes, purpose: str, /) -> bytes:  # noqa: ARG002
        """Return it as it is."""
        return secret

    def decrypt(self, sealed: bytes, purpose: str, /) -> bytes:  # noqa: ARG002
        """Return it as it is."""
        return sealed


def make_event() -> Event:
    """Return a deposit of everyday size."""
    number = next(_numbers)
    moment = datetime.now(UTC)
    return DepositConfirmed(
        id=make_event_id(moment, "deposit.confirmed", number),
        tenant=TENANT,
        occurred_at=moment,
        data=Deposit(
            deposit_id=number,
            owner=f"user-{number}",
            network="eip155:1",
            asset="ETH",
            amount_minor="1500000000000000000",
            address="0x" + "5a" * 20,
            sender="0x" + "a5" * 20,
            contract=None,
            memo=None,
            transaction_id="0x" + f"{number:064x}",
            transfer_index="value",
            height=20_000_000,
            block_id="0x" + "c3" * 32,
            revision=0,
            confirmations=12,
            confirmations_required=12,
        ),
    )


async def serve() -> None:
    """Be the receiver: print the port, then answer until standard input ends."""

    async def answer(request: web.Request) -> web.Response:
        await request.read()
        return web.Response(status=204)

    app = web.Application()
    app.router.add_post("/{endpoint}", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await runner.cleanup()


@asynccontextmanager
async def receiver() -> AsyncIterator[str]:
    """Run the receiver in another process and yield its address."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "benchmarks.webhooks",
        "--serve",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield f"http://127.0.0.1:{int(await process.stdout.readline())}"
    finally:
        process.stdin.close()
        await process.wait()


async def post_bare(url: str, flying: int) -> float:
    """Post as many bodies as ours delivers, and no more than that; return posts per second."""
    bodies = iter([encode_event(make_event()) for _ in range(EVENTS)] * ENDPOINTS)
    headers = {"content-type": "application/json"}

    async def post_all(session: aiohttp.ClientSession) -> None:
        for body in bodies:
            async with session.post(f"{url}/0", data=body, headers=headers) as response:
                assert response.status == 204
                await response.read()

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        start = time.perf_counter()
        await asyncio.gather(*(post_all(session) for _ in range(flying)))
        return DELIVERIES / (time.perf_counter() - start)


async def deliver_ours(pool: Pool, flying: int) -> float:
    """Keep and deliver events until every delivery is written down; return them per second."""
    events = sorted((make_event() for _ in range(EVENTS)), key=lambda event: event.id)
    limits = Limits(flying_max=flying)
    async with open_session(allow_private=True, timeout_s=20.0) as session:
        worker = Deliverer(
            pool, session, Signer(PlainBox()), emit=refuse, allow_private=True, limits=limits
        )
        running = asyncio.create_task(worker.run())
        start = time.perf_counter()
        await store_all(pool, events)
        await wait_until_delivered(pool, events)
        rate = DELIVERIES / (time.perf_counter() - start)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    return rate


async def refuse(_: Connection, events: Sequence[Event]) -> None:
    """No endpoint is to be disabled here."""
    raise AssertionError(events)


async def store_all(pool: Pool, events: Sequence[Event]) -> None:
    """Keep events in batches, as the stage does."""
    async with pool.acquire() as conn:
        for first in range(0, len(events), BATCH):
            await store.store_events(conn, events[first : first + BATCH], datetime.now(UTC))


async def wait_until_delivered(pool: Pool, events: Sequence[Event]) -> None:
    """Return once all are delivered; the last one alone is asked for first: asking costs little."""
    pending = "SELECT FROM deliveries WHERE event_id = ANY($1) AND state = 'pending' LIMIT 1"
    async with pool.acquire() as conn:
        for some in (events[-1:], events):
            while await conn.fetch(pending, [event.id for event in some]):  # noqa: ASYNC110
                await asyncio.sleep(0.01)


async def prepare(pool: Pool, url: str) -> None:
    """Make the tenant and its endpoints."""
    async with pool.acquire() as conn:
        await conn.execute(
            "INSERT INTO tenants (tenant, name) VALUES ($1, $1) ON CONFLICT DO NOTHING", TENANT
        )
        await conn.execute("DELETE FROM endpoints WHERE tenant = $1", TENANT)
        for number in range(ENDPOINTS):
            await endpoints.register_endpoint(
                conn, PlainBox(), TENANT, f"{url}/{number}", datetime.now(UTC), allow_private=True
            )


async def run(database_url: str) -> list[dict[str, Any]]:
    """Measure and return the rows of the table."""
    async with receiver() as url, await open_pool(database_url, size=5, keeps_plans=True) as pool:
        await prepare(pool, url)
        return [
            await compare(pool, url, "signed webhooks with durable log", FLYING),
            await compare(pool, url, "webhooks, fewer at a time", FLYING_FEW),
        ]


async def compare(pool: Pool, url: str, name: str, flying: int) -> dict[str, Any]:
    """Measure with so many requests at a time and return the row."""
    await post_bare(url, flying), await deliver_ours(pool, flying)  # warms up
    ours, bare = await in_turns(
        ROUNDS, lambda: deliver_ours(pool, flying), lambda: post_bare(url, flying)
    )
    return {
        "name": name,
        "ours": round(statistics.median(ours), 1),
        "reference": round(statistics.median(bare), 1),
        "reference_name": f"bare aiohttp posts, {flying} at a time",
        "unit": "webhooks/s",
        "ratio": round(statistics.median(o / b for o, b in zip(ours, bare, strict=True)), 3),
    }


if __name__ == "__main__":
    if sys.argv[1:] == ["--serve"]:
        uvloop.run(serve())
    else:
        print(uvloop.run(run(sys.argv[1])))
