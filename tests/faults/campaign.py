"""All that Millrace promises under faults, on the real broker, database and nodes, with figures.

    python -m tests.faults.campaign [--short] [--seed N] [--only NAME] [--chain KIND …]

Ends with 1 if a promise was broken; the seed and the folder with all logs are then printed.
"""

from __future__ import annotations

import argparse
import asyncio
import compileall
import logging
import os
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.table import Table

from devstack.chains.registry import NODES, installed_kinds
from devstack.paths import ROOT
from tests.faults.figures import Figure
from tests.faults.kills import Size, run_kills
from tests.faults.proofs import run_proofs
from tests.faults.reorgs import run_reorgs

Tell = Callable[[str], None]
"""Shown while a promise is put to the test."""


@dataclass(frozen=True)
class Terms:
    """How a promise is put to the test. `chains` and `each` count for the kills alone."""

    seed: int
    short: bool
    chains: tuple[str, ...]
    each: int
    """Workers of each role."""
    tell: Tell


Run = Callable[[Path, Terms], Coroutine[None, None, list[Figure]]]


@dataclass(frozen=True)
class Promise:
    """One line of the campaign: what is promised, and how that is put to the test."""

    name: str
    text: str
    run: Run


SHORT_KILLS = Size(
    deposits=320,
    withdrawals=64,
    rate_s=20.0,
    mine_every_s=0.25,
    owners=10,
    every_s=1.5,
    server_every=3,
)
LONG_KILLS = Size(
    deposits=20_000,
    withdrawals=800,
    rate_s=40.0,
    mine_every_s=1.0,
    owners=40,
    every_s=5.0,
    server_every=10,
)


def short_depths(seed: int) -> list[int]:
    """Return the least, the greatest and some other depth."""
    return [1, random.Random(seed).randrange(2, 32), 32]


async def _kills(folder: Path, terms: Terms) -> list[Figure]:
    size = SHORT_KILLS if terms.short else LONG_KILLS
    return await run_kills(
        folder,
        chains=terms.chains,
        size=size,
        seed=terms.seed,
        each=terms.each,
        tell=terms.tell,
    )


async def _reorgs(folder: Path, terms: Terms) -> list[Figure]:
    depths = short_depths(terms.seed) if terms.short else range(1, 33)
    return await run_reorgs(folder, depths=depths, seed=terms.seed)


async def _proofs(
    folder: Path, terms: Terms, *, paths: Sequence[str], examples: int
) -> list[Figure]:
    examples_wanted = None if terms.short else examples
    return await run_proofs(folder, paths, seed=terms.seed, examples=examples_wanted)


PROMISES = (
    Promise(
        "kills",
        "kill -9 of workers, broker and database, on every chain: nothing lost or doubled",
        _kills,
    ),
    Promise(
        "reorgs", "reorganisations, depth 1 to 32, on Ethereum: credited and paid once", _reorgs
    ),
    Promise(
        "poison",
        "a stage that raises, a poison message every 20: parked, and the rest goes on",
        partial(
            _proofs,
            paths=("tests/scenarios/test_faust.py", "tests/faults/test_run_stage.py"),
            examples=1,
        ),
    ),
    Promise(
        "delivery",
        "every event repeated and reordered: the same final ledger",
        partial(_proofs, paths=("tests/properties/test_delivery.py",), examples=500),
    ),
    Promise(
        "follower",
        "lying nodes, rival followers, deaths: no gap in the chain",
        partial(_proofs, paths=("tests/faults/test_follow_chain.py",), examples=1),
    ),
    Promise(
        "broadcasts",
        "landed, lost, late or unknown broadcasts, with kills: one payment a command",
        partial(
            _proofs,
            paths=(
                "tests/scenarios/test_withdrawal_kills.py",
                "tests/scenarios/test_withdrawals_anvil.py",
                "tests/properties/test_withdrawal_histories.py",
            ),
            examples=150,
        ),
    ),
    Promise(
        "clients",
        "32 concurrent clients on few accounts: sums constant, no negatives",
        partial(_proofs, paths=("tests/scenarios/test_ledger_clients.py",), examples=1),
    ),
)


def main() -> None:
    """Run the campaign, or one promise of it."""
    parser = argparse.ArgumentParser(prog="tests.faults.campaign", description=__doc__)
    parser.add_argument("--short", action="store_true", help="a few minutes' worth, less sure")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--chain", choices=NODES, action="append", help="for kills; else all")
    parser.add_argument("--each", type=int, default=1, help="workers of each role, for kills")
    parser.add_argument("--only", choices=[promise.name for promise in PROMISES])
    chosen = parser.parse_args()
    compile_program()
    for name in ("asyncpg", "aiokafka"):  # killed on purpose: they need not tell of it each time
        logging.getLogger(name).setLevel(logging.CRITICAL)
    promises = [p for p in PROMISES if chosen.only in (None, p.name)]
    console = Console()
    chains = tuple(chosen.chain or installed_kinds())
    tell = partial(console.print, soft_wrap=True)
    terms = Terms(chosen.seed, chosen.short, chains, chosen.each, tell)
    sys.exit(run_campaign(promises, terms, console))


def compile_program() -> None:
    """Compile what an installation has compiled, also where Python is told to keep nothing.

    Else each worker that is started again would spend a fifth of its start on it.
    """
    for package in ROOT.glob("*/__init__.py"):
        compileall.compile_dir(package.parent, quiet=1)


def run_campaign(promises: Sequence[Promise], terms: Terms, console: Console) -> int:
    """Run promises one after the other; return the exit status."""
    folder = Path(tempfile.mkdtemp(prefix="millrace-faults-"))
    folder.chmod(0o711)  # the database's own user has to get through
    console.print(f"seed {terms.seed}, logs in {folder}")
    table = Table(title="Promises under faults")
    for column in ("promise", "figure", "value", "kept"):
        table.add_column(column, overflow="fold")
    kept = True
    for promise in promises:
        console.print(f"{promise.name}: {promise.text} …")
        started = time.monotonic()
        figures = run_promise(promise, folder / promise.name, terms)
        figures.append(Figure("took", f"{time.monotonic() - started:.0f} s", kept=True))
        for number, figure in enumerate(figures):
            mark = "[green]yes" if figure.kept else "[bold red]NO"
            table.add_row("" if number else promise.name, figure.name, figure.value, mark)
        table.add_section()
        kept = kept and all(figure.kept for figure in figures)
    console.print(table)
    if kept:
        shutil.rmtree(folder, ignore_errors=True)
        return 0
    console.print(f"[bold red]A promise was broken.[/] Seed {terms.seed}; logs in {folder}")
    return 1


def run_promise(promise: Promise, folder: Path, terms: Terms) -> list[Figure]:
    """Run one promise; a run that does not come to its end is a broken promise as well."""
    try:
        return asyncio.run(promise.run(folder, terms))
    except Exception as error:
        print(f"{promise.name}: {error!r}", file=sys.stderr)  # noqa: T201
        return [Figure("came to its end", repr(error)[:500], kept=False)]


if __name__ == "__main__":
    os.environ.pop("MILLRACE_CONFIG", None)
    main()
