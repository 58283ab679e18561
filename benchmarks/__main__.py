"""`make bench`: every benchmark, ours and the bare limit side by side on the same servers."""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import secrets
import shutil
import sys
from collections.abc import Awaitable, Callable

import asyncpg
import uvloop
from rich.console import Console

from agents.runtime.garbage import collect_seldom
from benchmarks import (
    decode,
    growth,
    keys,
    latency,
    ledger,
    peak,
    pipeline,
    report,
    signing,
    watch,
    webhooks,
)
from benchmarks.folder import make_folder
from benchmarks.ledger import with_database
from benchmarks.report import Row
from devstack.stack import Stack
from sql.migrate import migrate

Benchmark = Callable[[Stack, bool], Awaitable[list[Row]]]


async def _ledger(stack: Stack, quick: bool) -> list[Row]:
    return await ledger.run(stack.database_url, entries=10_000 if quick else 200_000)


async def _pipeline(stack: Stack, quick: bool) -> list[Row]:
    return await pipeline.run(stack, rounds=1 if quick else pipeline.ROUNDS)


async def _latency(stack: Stack, quick: bool) -> list[Row]:
    return await latency.run(stack, turns=1 if quick else latency.TURNS)


async def _webhooks(stack: Stack, _: bool) -> list[Row]:
    name = f"bench_{secrets.token_hex(4)}"
    server = await asyncpg.connect(stack.database_url)
    try:
        await server.execute(f"CREATE DATABASE {name}")
        url = with_database(stack.database_url, name)
        await asyncio.to_thread(migrate, url)
        rows = await webhooks.run(url)
        await server.execute(f"DROP DATABASE {name} WITH (FORCE)")
    finally:
        await server.close()
    return rows


def _rounds(quick: bool) -> int:
    return ROUNDS_QUICK if quick else keys.ROUNDS


SERVED: dict[str, Benchmark] = {
    "ledger": _ledger,
    "pipeline": _pipeline,
    "latency": _latency,
    "webhooks": _webhooks,
}
ALONE: dict[str, Callable[[bool], list[Row]]] = {
    "decode": lambda _: decode.run(),
    "peak": lambda quick: peak.run(rounds=_rounds(quick)),
    "keys": lambda quick: keys.run(_rounds(quick)),
    "signing": lambda quick: signing.run(_rounds(quick)),
    "watch": lambda _: watch.run(),
}
"""Those that need no servers; they run after the others, when no server is running."""
ROUNDS_QUICK = 3


async def measure_served(
    names: list[str], quick: bool, console: Console
) -> tuple[list[Row], list[str]]:
    """Run benchmarks beside the servers; return their rows and the names of those that failed."""
    folder = make_folder()
    environ = {name: text for name, text in os.environ.items() if name[:9] != "MILLRACE_"}
    rows: list[Row] = []
    failed: list[str] = []
    async with Stack(folder, environ=environ) as stack:
        for name in names:
            with console.status(f"{name} …"):
                try:
                    rows += await SERVED[name](stack, quick)
                except Exception as error:
                    failed.append(name)
                    console.print(f"{name} failed: {error!r}; logs in {folder / 'logs'}")
    if not failed:
        shutil.rmtree(folder, ignore_errors=True)
    return rows, failed


def measure(names: list[str], quick: bool, console: Console) -> tuple[list[Row], list[str]]:
    """Run benchmarks; return their rows and the names of those that failed."""
    served = [name for name in names if name in SERVED]
    rows, failed = uvloop.run(measure_served(served, quick, console)) if served else ([], [])
    for name in names:
        if name in ALONE:
            with console.status(f"{name} …"):
                try:
                    gc.collect()
                    gc.freeze()  # nothing of the ones before is looked through again
                    rows += ALONE[name](quick)
                except Exception as error:
                    failed.append(name)
                    console.print(f"{name} failed: {error!r}")
    return rows, failed


def rows_kept(*, partly: bool) -> list[Row]:
    """Return the earlier rows that a run does not replace: all that was not measured now.

    The long run of the ledger is never part of it.
    """
    return [row for row in report.read_latest() if partly or row["name"].startswith(growth.NAME)]


def main() -> int:
    """Measure, show, keep; the exit status tells whether all could be measured."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument(
        "--only", choices=[*SERVED, *ALONE], action="append", help="run this one alone"
    )
    parser.add_argument("--quick", action="store_true", help="fewer rounds; nothing is written")
    arguments = parser.parse_args()
    collect_seldom()  # as workers do
    console = Console()
    names = arguments.only or [*SERVED, *ALONE]
    rows, failed = measure(names, arguments.quick, console)
    console.print(report.terminal_table(rows))
    if not arguments.quick:
        partly = bool(arguments.only or failed)
        report.keep(report.merge(rows_kept(partly=partly), rows))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
