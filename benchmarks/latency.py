"""From a block being seen to the ledger entry being committed, measured beside a bare chain.

The clock starts when a bare subscriber of the node's newHeads gets the block, and stops when
Postgres tells of the committed entry (a trigger of the benchmark's database notifies, on both
sides). One block at a time, with one deposit; one confirmation. Ours is two real workers, `chain`
and `deposits`; the reference is the two processes of benchmarks.latency_bare, once with a step of
its own to confirm and once without. They take turns.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import asyncpg

from benchmarks import latency_bare, plain
from benchmarks.site import Site, address_of, in_turns, open_site
from devstack.chains.ethereum import EthereumChain
from devstack.stack import Stack
from sql.pool import Connection

WATCHED = 1_000
BLOCKS = 60
"""In a turn, timed."""
BLOCKS_WARM = 15
TURNS = 4
PAUSE_S = 0.03
SETTLE_S = 4.0
"""Until the bare processes surely run: they do not tell."""
TIMEOUT_S = 30.0
CHANNEL = "bench_posted"


class Stopwatch:
    """Times blocks one by one."""

    def __init__(self, chain: EthereumChain, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._chain = chain
        self._socket = socket
        self._posted: asyncio.Queue[float] = asyncio.Queue()

    def hear(self, *_: object) -> None:
        """Take a notification of a committed entry."""
        self._posted.put_nowait(time.perf_counter())

    async def time_block(self, number: int) -> float:
        """Have a block mined with one deposit; return the seconds until it is posted."""
        seeing = asyncio.create_task(self._see())
        await self._chain.pay(address_of(number % WATCHED), 10**15 + number)
        seen = await seeing
        posted = await asyncio.wait_for(self._posted.get(), TIMEOUT_S)
        await asyncio.sleep(PAUSE_S)
        return posted - seen

    async def _see(self) -> float:
        await self._socket.receive_str(timeout=TIMEOUT_S)
        return time.perf_counter()


@asynccontextmanager
async def subscribe(url: str) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    """Subscribe to new heads."""
    async with aiohttp.ClientSession() as http, http.ws_connect(url) as socket:
        await socket.send_json(
            {"jsonrpc": "2.0", "id": 1, "method": "eth_subscribe", "params": ["newHeads"]}
        )
        await socket.receive_str(timeout=TIMEOUT_S)
        yield socket


async def notify_inserts(conn: Connection, table: str) -> None:
    """Have Postgres notify CHANNEL when rows of a table are committed."""
    await conn.execute(
        f"""
        CREATE FUNCTION bench_notify() RETURNS trigger LANGUAGE plpgsql AS
        'BEGIN NOTIFY {CHANNEL}; RETURN NULL; END';
        CREATE TRIGGER bench_notify AFTER INSERT ON {table}
        FOR EACH STATEMENT EXECUTE FUNCTION bench_notify();
        """
    )


async def _time_blocks(site: Site, table: str, blocks: int) -> list[float]:
    node = site.stack.networks[0]
    listener = await asyncpg.connect(site.database_url)
    async with EthereumChain(node["rpc_urls"][0]) as chain, subscribe(node["push_url"]) as socket:
        await notify_inserts(listener, table)
        watch = Stopwatch(chain, socket)
        await listener.add_listener(CHANNEL, watch.hear)
        seconds = [await watch.time_block(number) for number in range(BLOCKS_WARM + blocks)]
    await listener.close()
    return seconds[BLOCKS_WARM:]


async def ours(stack: Stack, blocks: int = BLOCKS) -> list[float]:
    """Run our workers; seconds of each block."""
    async with open_site(stack, WATCHED) as (site, _):
        async with EthereumChain(stack.networks[0]["rpc_urls"][0]) as chain:
            await chain.mine()  # we begin at the tip: no deposit of an earlier turn shall be in it
        await site.run_roles("chain", "deposits")
        return await _time_blocks(site, "journal_lines", blocks)


async def bare(stack: Stack, stages: str, blocks: int = BLOCKS) -> list[float]:
    """Run the bare chain with these `stages`; seconds of each block."""
    topics = (latency_bare.MATCHED, latency_bare.CONFIRMED)
    async with open_site(stack, WATCHED, more_topics=topics) as (site, conn):
        await plain.make_tables(conn)
        site.run_bare("benchmarks.latency_bare", stages)
        site.run_bare(
            "benchmarks.latency_bare",
            "follow",
            stack.networks[0]["rpc_urls"][0],
            stack.networks[0]["push_url"],
            site.network,
        )
        await asyncio.sleep(SETTLE_S)
        return await _time_blocks(site, "plain_journals", blocks)


async def run(stack: Stack, turns: int = TURNS) -> list[dict[str, Any]]:
    """Measure and return the rows of the table."""
    taken = await in_turns(
        turns,
        lambda: ours(stack),
        lambda: bare(stack, "stages"),
        lambda: bare(stack, latency_bare.JOINED),
    )
    our_s, bare_s, joined_s = ([s for turn in side for s in turn] for side in taken)
    return [
        _row(f"latency, {what}, p{percent}", percent, our_s, reference_s, reference)
        for what, reference_s, reference in (
            ("block seen to entry committed", bare_s, "bare chain of the same stages"),
            ("beside match and confirm in one", joined_s, "bare chain, match confirms"),
        )
        for percent in (50, 95)
    ]


def percentile(seconds: list[float], percent: int) -> float:
    """Return the value that so many percent do not exceed."""
    return statistics.quantiles(seconds, n=100, method="inclusive")[percent - 1]


def _row(
    name: str, percent: int, our_s: list[float], bare_s: list[float], reference: str
) -> dict[str, Any]:
    ours_ms, bare_ms = (percentile(x, percent) * 1000 for x in (our_s, bare_s))
    return {
        "name": name,
        "ours": round(ours_ms, 2),
        "reference": round(bare_ms, 2),
        "reference_name": reference,
        "unit": "ms",
        "ratio": round(bare_ms / ours_ms, 3),
    }
