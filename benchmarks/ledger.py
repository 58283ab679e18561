"""Ledger posting, measured beside the plainest shape that could do it.

Both post the same entries over one asyncpg connection to the same server, taking turns; figures
are medians of the rounds. `python -m benchmarks.ledger DATABASE_URL [--grow N]`.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import random
import secrets
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from ledger.chart import Kind
from ledger.entries import AccountRef, Entry, Line, Outcome
from ledger.post import post
from sql.migrate import migrate
from sql.pool import Connection

BATCH = 500
ROUNDS = 15
BATCHES_PER_ROUND = 4
WARM_UP_BATCHES = 40
SPREAD_USERS = 2_000
ASSET = "BENCH"

PLAIN_SCHEMA = """
CREATE TABLE plain_balances (
    account_id bigint PRIMARY KEY,
    balance_minor numeric(78, 0) NOT NULL
);
CREATE TABLE plain_journals (
    journal_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant text NOT NULL,
    kind text NOT NULL,
    idempotency_key text NOT NULL,
    reference_type text NOT NULL,
    reference_id text NOT NULL,
    metadata jsonb,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX ON plain_journals (tenant, idempotency_key);
CREATE TABLE plain_postings (
    posting_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    journal_id bigint NOT NULL,
    account_id bigint NOT NULL,
    side text NOT NULL,
    amount_minor numeric(78, 0) NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX ON plain_postings (account_id, posting_id);
"""
"""The facts of our rows but the running balances, with the same ways to find them again."""

PLAIN_KEYS = """
ALTER TABLE plain_postings
    ADD FOREIGN KEY (journal_id) REFERENCES plain_journals,
    ADD FOREIGN KEY (account_id) REFERENCES plain_balances;
"""
"""What any journal's tables say of each other, and the one thing that they check."""

PLAIN_POST = """
WITH new AS (
    SELECT * FROM unnest(
        $1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[],
        $7::bigint[], $8::bigint[], $9::text[]::numeric[]
    ) AS t (tenant, kind, key, reference_type, reference_id, metadata, debit, credit, amount)
), journal AS (
    INSERT INTO plain_journals
        (tenant, kind, idempotency_key, reference_type, reference_id, metadata)
    SELECT tenant, kind, key, reference_type, reference_id, metadata::jsonb FROM new
    RETURNING journal_id, idempotency_key
), posting AS (
    INSERT INTO plain_postings (journal_id, account_id, side, amount_minor)
    SELECT j.journal_id, s.account_id, s.side, n.amount
    FROM journal AS j JOIN new AS n ON n.key = j.idempotency_key
    CROSS JOIN LATERAL (VALUES (n.debit, 'debit'), (n.credit, 'credit')) AS s (account_id, side)
)
INSERT INTO plain_balances (account_id, balance_minor)
SELECT s.account_id, sum(s.change) FROM new AS n
CROSS JOIN LATERAL (VALUES (n.debit, n.amount), (n.credit, -n.amount)) AS s (account_id, change)
GROUP BY s.account_id
ON CONFLICT (account_id) DO UPDATE
SET balance_minor = plain_balances.balance_minor + excluded.balance_minor
"""


def keyless(statement: str) -> str:
    """Return the statement for the same tables once more, those without foreign keys."""
    return statement.replace("plain_", "keyless_")


Movement = tuple[str, int, int]
"""Key, number of the user, amount in minor units."""


class Bench:
    """One connection, one stream of entries that never repeats a key."""

    def __init__(self, conn: Connection, tenant: str) -> None:
        """Take a tenant that no other has: posting remembers accounts, whatever the database."""
        self._conn = conn
        self._tenant = tenant
        self._serial = itertools.count()
        self._random = random.Random(7)

    async def prepare(self) -> None:
        """Make a tenant and an asset."""
        await self._conn.execute(
            f"""
            INSERT INTO tenants (tenant, name) VALUES ('{self._tenant}', 'Benchmark');
            INSERT INTO networks (network, kind, native_asset, confirmations)
            VALUES ('bench:1', 'simulated', '{ASSET}', 1);
            INSERT INTO assets (asset, network, decimals) VALUES ('{ASSET}', 'bench:1', 18);
            """
        )

    async def prepare_plain(self) -> None:
        """Make the plain tables, with foreign keys and without."""
        await self._conn.execute(PLAIN_SCHEMA + PLAIN_KEYS + keyless(PLAIN_SCHEMA))

    def _movements(self, count: int, users: int = SPREAD_USERS) -> list[Movement]:
        """Return new deposits spread over so many users."""
        return [
            (
                f"deposit:{next(self._serial)}:credit:0",
                self._random.randrange(users),
                self._random.randrange(10**15, 10**18),
            )
            for _ in range(count)
        ]

    def _entries(self, count: int, users: int = SPREAD_USERS) -> list[Entry]:
        wallets = AccountRef(self._tenant, "", ASSET, "deposit_wallets")
        return [
            Entry(
                self._tenant,
                Kind.DEPOSIT,
                key,
                (
                    Line(
                        wallets,
                        AccountRef(self._tenant, f"user-{user}", ASSET, "available"),
                        amount_minor,
                        repays=AccountRef(self._tenant, f"user-{user}", ASSET, "receivable"),
                    ),
                ),
                "deposit",
                key,
            )
            for key, user, amount_minor in self._movements(count, users)
        ]

    async def _post_plain(self, statement: str, movements: Sequence[Movement]) -> None:
        count = len(movements)
        async with self._conn.transaction():
            await self._conn.execute(
                statement,
                [self._tenant] * count,
                ["DEPOSIT"] * count,
                [key for key, _, _ in movements],
                ["deposit"] * count,
                [key for key, _, _ in movements],
                [None] * count,
                [-1] * count,
                [user for _, user, _ in movements],
                [str(amount_minor) for _, _, amount_minor in movements],
            )

    async def _post(self, entries: Sequence[Entry]) -> None:
        async with self._conn.transaction():
            results = await post(self._conn, entries)
        if any(result.outcome is not Outcome.POSTED for result in results):
            raise RuntimeError("an entry was refused")

    async def ours(self, batches: int, users: int = SPREAD_USERS, size: int = BATCH) -> float:
        """Post batches with `post`; entries per second."""
        work = [self._entries(size, users) for _ in range(batches)]
        started = time.perf_counter()
        for entries in work:
            await self._post(entries)
        return batches * size / (time.perf_counter() - started)

    async def plain(
        self,
        batches: int,
        users: int = SPREAD_USERS,
        size: int = BATCH,
        statement: str = PLAIN_POST,
    ) -> float:
        """Post batches with the bare statement; entries per second."""
        work = [self._movements(size, users) for _ in range(batches)]
        started = time.perf_counter()
        for movements in work:
            await self._post_plain(statement, movements)
        return batches * size / (time.perf_counter() - started)

    async def size(self) -> str:
        """Return how large the database is, e.g. "512 MB"."""
        query = "SELECT pg_size_pretty(pg_database_size(current_database()))"
        return str(await self._conn.fetchval(query))


def row(name: str, ours: float, reference: float, reference_name: str) -> dict[str, Any]:
    """Return one line of benchmarks/latest.json."""
    return {
        "name": name,
        "ours": round(ours),
        "reference": round(reference),
        "reference_name": reference_name,
        "unit": "entries/s",
        "ratio": round(ours / reference, 3),
    }


async def take_turns(rounds: int, *runs: Callable[[], Awaitable[float]]) -> list[float]:
    """Run each in every round, in turn; return their medians."""
    figures: list[list[float]] = [[] for _ in runs]
    for _ in range(rounds):
        for run_once, taken in zip(runs, figures, strict=True):
            taken.append(await run_once())
    return [statistics.median(taken) for taken in figures]


@asynccontextmanager
async def open_bench(database_url: str) -> AsyncIterator[Bench]:
    """Make an empty ledger in a database of its own on the server, which is dropped at the end."""
    name = f"bench_ledger_{secrets.token_hex(4)}"
    server = await asyncpg.connect(database_url)
    await server.execute(f"CREATE DATABASE {name}")
    url = with_database(database_url, name)
    await asyncio.to_thread(migrate, url)
    conn = await asyncpg.connect(url)
    try:
        bench = Bench(conn, name)
        await bench.prepare()
        yield bench
    finally:
        await conn.close()
        await server.execute(f"DROP DATABASE {name} WITH (FORCE)")
        await server.close()


async def compare_grown(grown: Bench, new: Bench, rounds: int, batches: int) -> tuple[float, float]:
    """Post to a ledger that has grown and to a new one in turns; return entries a second of each.

    They share a server, so what it does for the large one in the background slows both.
    """
    at_end, at_start = await take_turns(
        rounds, lambda: grown.ours(batches), lambda: new.ours(batches)
    )
    return at_end, at_start


async def measure_growth(bench: Bench, new: Bench, entries: int) -> dict[str, Any]:
    """Return the row of the last tenth of so many entries beside the first tenth of another."""
    await bench.ours(WARM_UP_BATCHES)  # opens the accounts
    await new.ours(WARM_UP_BATCHES)
    await bench.ours(entries * 9 // 10 // BATCH)
    rounds = max(1, entries // 10 // BATCH // BATCHES_PER_ROUND)
    last, first = await compare_grown(bench, new, rounds, BATCHES_PER_ROUND)
    return row(f"ledger, last tenth of {entries}", last, first, "first tenth of another, in turns")


async def measure(bench: Bench) -> list[dict[str, Any]]:
    """Run everything else on one connection."""
    await bench.prepare_plain()
    await bench.plain(8), await bench.plain(8, statement=keyless(PLAIN_POST))
    ours, plain, plain_keyless, hot, plain_hot, plain_one, ours_one = await take_turns(
        ROUNDS,
        lambda: bench.ours(BATCHES_PER_ROUND),
        lambda: bench.plain(BATCHES_PER_ROUND),
        lambda: bench.plain(BATCHES_PER_ROUND, statement=keyless(PLAIN_POST)),
        lambda: bench.ours(BATCHES_PER_ROUND, users=1),
        lambda: bench.plain(BATCHES_PER_ROUND, users=1),
        lambda: bench.plain(60, size=1),
        lambda: bench.ours(60, size=1),
    )
    return [
        row("ledger, batches of 500", ours, plain, "plain shape, one bare statement"),
        row(
            "ledger, beside no foreign keys",
            ours,
            plain_keyless,
            "plain shape without foreign keys",
        ),
        row("ledger, batched against single", ours, plain_one, "plain, one per transaction"),
        row("ledger, batched against our single", ours, ours_one, "ours, one per transaction"),
        row("ledger, one hot account", hot, ours, "ours, spread"),
        row("ledger, all on one account", hot, plain_hot, "plain shape, one account"),
    ]


async def run(database_url: str, entries: int = 200_000) -> list[dict[str, Any]]:
    """Measure on the server of `database_url`; a ledger grows to so many entries."""
    async with open_bench(database_url) as bench:
        async with open_bench(database_url) as new:  # before there is anything of others
            growth = await measure_growth(bench, new, entries)
        return [*await measure(bench), growth]


def with_database(database_url: str, name: str) -> str:
    """Return the address of another database of the same server."""
    return urlunsplit(urlsplit(database_url)._replace(path=f"/{name}"))


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("database_url")
    parser.add_argument("--grow", type=int, default=200_000, help="entries of the long run")
    arguments = parser.parse_args()
    for figures in asyncio.run(run(arguments.database_url, arguments.grow)):
        print(
            f"{figures['name']:40} {figures['ours']:>8} {figures['reference']:>8}"
            f" {figures['unit']} {figures['ratio']:>7}x  {figures['reference_name']}"
        )


if __name__ == "__main__":
    main()
