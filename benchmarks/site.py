"""A database, topics and watched addresses of their own for each turn of a benchmark."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TypeVar

import aiohttp
import asyncpg

from agents.runtime.kafka_topics import create_topics
from benchmarks.ledger import with_database
from devstack.kafka import members_of
from devstack.stack import Stack
from devstack.workers import WorkerProcess
from settings.model import Settings
from sql.migrate import migrate
from sql.pool import Connection
from topics.catalogue import ALL_TOPICS

TakenT = TypeVar("TakenT")

TENANT = "bench"
ASSET = "ETH"
READY_TIMEOUT_S = 60.0


def address_of(number: int) -> str:
    """Return the watched address with this number, from 0."""
    return f"0x{0xBE << 152 | number:040x}"


@dataclass
class Site:
    """Where one side of a benchmark works for one turn."""

    stack: Stack
    network: str
    database_url: str
    """With a password in it."""
    topic_prefix: str
    workers: list[WorkerProcess] = field(default_factory=list)

    @property
    def environment(self) -> dict[str, str]:
        """What a worker or a bare process needs to know."""
        chain = self.stack.networks[0] | {
            "confirmations": 1,
            "start_height": None,
            "traces": "never",
        }
        asset = {"asset": ASSET, "network": self.network, "decimals": 18}
        return {
            **{name: text for name, text in os.environ.items() if name[:9] != "MILLRACE_"},
            "MILLRACE_DATABASE_URL": self.database_url,
            "MILLRACE_KAFKA_BOOTSTRAP": self.stack.kafka_bootstrap,
            "MILLRACE_TOPIC_PREFIX": self.topic_prefix,
            "MILLRACE_TOPIC_PARTITIONS": "1",
            "MILLRACE_NETWORKS": json.dumps([chain]),
            "MILLRACE_ASSETS": json.dumps([asset]),
            "MILLRACE_DATA_DIR": str(self.stack.data_dir),
        }

    async def run_roles(self, *roles: str) -> None:
        """Start our workers, one process a role, and wait until they are ready."""
        for role in roles:
            self._start(role, None)
        async with aiohttp.ClientSession() as http:
            for worker in self.workers:
                url = f"http://127.0.0.1:{worker.metrics_port}/readyz"
                await until(lambda url=url: _is_ready(http, url), f"worker {worker.role}")  # type: ignore[misc]

    async def have_joined(self, role: str) -> bool:
        """Whether all workers, which are of this role, share its partitions."""
        group = self.topic_prefix + role
        return await members_of(group, self.stack.kafka_bootstrap) == len(self.workers)

    def run_bare(self, module: str, *arguments: str) -> None:
        """Start a process of the reference."""
        self._start(module, (sys.executable, "-m", module, *arguments))

    def _start(self, name: str, command: tuple[str, ...] | None) -> None:
        log = self.stack.data_dir / "logs" / f"{name}-{self.topic_prefix}{len(self.workers)}.log"
        worker = WorkerProcess(name, self.environment, log, command)
        self.workers.append(worker)
        worker.start()

    def pause(self) -> None:
        """Stop the processes where they stand."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let the processes go on."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        for worker in self.workers:
            assert worker.pid is not None
            os.kill(worker.pid, number)

    async def stop(self) -> None:
        """Stop the processes; a log is kept on disk until the run ends."""
        self.resume()
        await asyncio.gather(*(worker.stop() for worker in self.workers))


@asynccontextmanager
async def open_site(
    stack: Stack, watched: int, *, more_topics: Sequence[str] = ()
) -> AsyncIterator[tuple[Site, Connection]]:
    """Make topics and a migrated database with `watched` addresses, which is dropped at the end."""
    name = f"bench_{secrets.token_hex(4)}"
    server = await asyncpg.connect(stack.database_url)
    await server.execute(f"CREATE DATABASE {name}")
    url = with_database(stack.database_url, name)
    await asyncio.to_thread(migrate, url)
    conn = await asyncpg.connect(url)
    site = Site(stack, stack.networks[0]["network"], url, f"{name}.")
    try:
        await fill(conn, site.network, watched)
        names = [topic.name for topic in ALL_TOPICS]
        await create_topics(_settings(site), [*names, *more_topics])
        yield site, conn
    finally:
        await site.stop()
        await conn.close()
        await server.execute(f"DROP DATABASE {name} WITH (FORCE)")
        await server.close()


async def fill(conn: Connection, network: str, watched: int) -> None:
    """Write a tenant, a network, an asset and watched addresses, one for each user."""
    await conn.execute("INSERT INTO tenants (tenant, name) VALUES ($1, $1)", TENANT)
    await conn.execute(
        "INSERT INTO networks (network, kind, native_asset, confirmations)"
        " VALUES ($1, 'ethereum', $2, 1)",
        network,
        ASSET,
    )
    await conn.execute(
        "INSERT INTO assets (asset, network, decimals) VALUES ($1, $2, 18)", ASSET, network
    )
    numbers = range(watched)
    await conn.execute(
        "INSERT INTO addresses (network, address, serial, tenant, owner, purpose)"
        " SELECT $1, a.address, a.n, $2, 'user-' || a.n, 'deposit'"
        " FROM unnest($3::text[]) WITH ORDINALITY AS a (address, n)",
        network,
        TENANT,
        [address_of(number) for number in numbers],
    )
    await conn.execute(
        "INSERT INTO address_counters (network, serial) VALUES ($1, $2)", network, watched
    )
    await conn.execute("ANALYZE addresses")


async def in_turns(turns: int, *sides: Callable[[], Awaitable[TakenT]]) -> tuple[list[TakenT], ...]:
    """Run all sides so often and return what each took.

    They take turns in going first: whoever comes later finds the servers warmer.
    """
    taken: tuple[list[TakenT], ...] = tuple([] for _ in sides)
    for turn in range(turns):
        order = range(len(sides)) if turn % 2 == 0 else reversed(range(len(sides)))
        for side in order:
            taken[side].append(await sides[side]())
    return taken


async def until(
    look: Callable[[], Awaitable[bool]],
    what: str,
    timeout_s: float = READY_TIMEOUT_S,
    every_s: float = 0.1,
) -> None:
    """Look again and again until it is so; TimeoutError names what did not come about."""
    deadline = time.monotonic() + timeout_s
    while not await look():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {timeout_s:.0f} s")
        await asyncio.sleep(every_s)


async def _is_ready(http: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with http.get(url) as answer:
            return answer.status == 200
    except aiohttp.ClientError:
        return False


def _settings(site: Site) -> Settings:
    return Settings(
        kafka_bootstrap=site.stack.kafka_bootstrap,
        topic_prefix=site.topic_prefix,
        topic_partitions=1,
    )
