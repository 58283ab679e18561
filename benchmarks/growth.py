"""`make bench-growth`: whether the ledger slows down as it grows, tenth by tenth.

Posts deposits in batches of 500 on one connection, as benchmarks/ledger.py does, into a database
with fsync on, and prints for each tenth of them how many entries a second were posted and how
large the database is. Ten million take 10 to 40 minutes and some 5 GB of disk. The machine
should be quiet all that time: a tenth that shares it with something else is slower for that.
"""

from __future__ import annotations

import argparse
import asyncio
import secrets
import shutil
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg
from rich.console import Console

from benchmarks import report
from benchmarks.folder import make_folder
from benchmarks.ledger import BATCH, Bench, row, with_database
from devstack.postgres import Postgres
from sql.migrate import migrate
from sql.pool import Connection

NAME = "ledger, growth"
ENTRIES = 10_000_000
TENTHS = 10
BATCHES_AT_ONCE = 20
"""As many entries are made beforehand, so that making them is not part of the time."""
WARM_UP_BATCHES = 40

Post = Callable[[int], Awaitable[float]]
"""Posts so many batches; returns entries a second."""
Tell = Callable[[int, float], Awaitable[None]]
"""Is told the number of a tenth, from 1 on, and its rate."""


async def post_tenth(post: Post, entries: int) -> float:
    """Post so many entries, in pieces; return entries a second over all of them."""
    pieces = max(1, entries // (BATCH * BATCHES_AT_ONCE))
    rates = [await post(BATCHES_AT_ONCE) for _ in range(pieces)]
    return len(rates) / sum(1 / rate for rate in rates)


async def post_tenths(post: Post, entries: int, tell: Tell) -> list[float]:
    """Post all entries; return the rate of each tenth."""
    rates = []
    for tenth in range(1, TENTHS + 1):
        rates.append(await post_tenth(post, entries // TENTHS))
        await tell(tenth, rates[-1])
    return rates


def summary(entries: int, rates: list[float]) -> dict[str, Any]:
    """Return the line of benchmarks/latest.json: the last tenth against the first."""
    return row(f"{NAME} to {entries:,} entries", rates[-1], rates[0], "its first tenth")


async def measure(database_url: str, entries: int, console: Console) -> dict[str, Any]:
    """Measure in a database made for it on the server of `database_url`, and drop it."""
    name = f"bench_growth_{secrets.token_hex(4)}"
    server = await asyncpg.connect(database_url)
    try:
        await server.execute(f"CREATE DATABASE {name}")
        url = with_database(database_url, name)
        await asyncio.to_thread(migrate, url)
        conn = await asyncpg.connect(url)
        try:
            return await grow(conn, entries, console)
        finally:
            await conn.close()
            await server.execute(f"DROP DATABASE {name} WITH (FORCE)")
    finally:
        await server.close()


async def grow(conn: Connection, entries: int, console: Console) -> dict[str, Any]:
    """Let the ledger of a database grow."""
    bench = Bench(conn)
    await bench.prepare()
    await bench.ours(WARM_UP_BATCHES)
    started = time.monotonic()

    async def tell(tenth: int, rate: float) -> None:
        size = await conn.fetchval("SELECT pg_size_pretty(pg_database_size(current_database()))")
        minutes = (time.monotonic() - started) / 60
        posted = f"{entries * tenth // TENTHS:>12,}"
        console.print(f"{posted} entries: {rate:>8,.0f} entries/s, {size}, {minutes:.1f} min")

    return summary(entries, await post_tenths(bench.ours, entries, tell))


def run(entries: int, console: Console) -> dict[str, Any]:
    """Start a database and measure."""
    folder = make_folder()
    with Postgres(folder / "postgres") as server:
        figures = asyncio.run(measure(server.url, entries, console))
    shutil.rmtree(folder, ignore_errors=True)
    return figures


def number(text: str) -> int:
    """Return a number of entries that can be parted into tenths of whole batches."""
    entries, step = int(text), TENTHS * BATCH * BATCHES_AT_ONCE
    if entries < step or entries % step:
        raise argparse.ArgumentTypeError(f"expected a multiple of {step}")
    return entries


def main() -> int:
    """Measure, show, keep."""
    parser = argparse.ArgumentParser(prog="make bench-growth", description=__doc__)
    parser.add_argument("--entries", type=number, default=ENTRIES, help="how many in all")
    parser.add_argument("--quick", action="store_true", help="nothing is written")
    arguments = parser.parse_args()
    console = Console()
    figures = run(arguments.entries, console)
    console.print(report.terminal_table([figures]))
    if not arguments.quick:
        report.keep(report.merge(report.read_latest(), [figures]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
