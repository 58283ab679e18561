"""`make bench-growth`: whether the ledger slows down as it grows, tenth by tenth.

Posts deposits in batches of 500 on one connection, as benchmarks/ledger.py does, into a database
with fsync on, and prints for each tenth of them how many entries a second were posted and how
large the database is. Ten million take 10 to 40 minutes and some 5 GB of disk. A tenth that shares
the machine with something else is slower for that; so what is kept is measured at the end, on this
ledger and a new one in turns.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

from rich.console import Console

from benchmarks import report
from benchmarks.folder import make_folder
from benchmarks.ledger import BATCH, WARM_UP_BATCHES, Bench, compare_grown, open_bench, row
from devstack.postgres import Postgres

NAME = "ledger, growth"
ENTRIES = 10_000_000
TENTHS = 10
BATCHES_AT_ONCE = 20
"""As many entries are made beforehand, so that making them is not part of the time."""
ROUNDS = 25
"""In which the grown ledger and a new one take turns."""

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


def summary(entries: int, grown: float, new: float) -> dict[str, Any]:
    """Return the line of benchmarks/latest.json."""
    return row(f"{NAME} to {entries:,} entries", grown, new, "a new ledger, in turns")


async def measure(database_url: str, entries: int, console: Console) -> dict[str, Any]:
    """Let a ledger grow on the server of `database_url`, and compare it with a new one."""
    async with open_bench(database_url) as bench, open_bench(database_url) as new:
        await bench.ours(WARM_UP_BATCHES)
        await grow(bench, entries, console)
        await new.ours(WARM_UP_BATCHES)
        return summary(entries, *await compare_grown(bench, new, ROUNDS, BATCHES_AT_ONCE))


async def grow(bench: Bench, entries: int, console: Console) -> None:
    """Post all entries, and print how each tenth went."""
    started = time.monotonic()

    async def tell(tenth: int, rate: float) -> None:
        minutes = (time.monotonic() - started) / 60
        posted = f"{entries * tenth // TENTHS:>12,}"
        size = await bench.size()
        console.print(f"{posted} entries: {rate:>8,.0f} entries/s, {size}, {minutes:.1f} min")

    await post_tenths(bench.ours, entries, tell)


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
