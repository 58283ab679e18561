"""The last comparison of chain and books, shown without another one."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from chain_adapters.ethereum.address import show_address
from sql.pool import Pool
from sql.reconciliation import DifferenceRow, NewRun, add_run
from tests.support.books import Books
from tests.support.command_line import CommandLine

FOUND_AT = "0x" + "ab" * 20


@pytest.fixture
async def books(pool: Pool, database_url: str) -> Books:
    made = Books(pool, database_url)
    await made.start()
    return made


@pytest.fixture
def millrace(books: Books, database_url: str) -> CommandLine:
    settings = books.pipeline.context.settings
    return CommandLine(
        {
            "MILLRACE_CONFIG": "",
            "MILLRACE_DATABASE_URL": database_url,
            "MILLRACE_NETWORKS": json.dumps([n.model_dump() for n in settings.networks]),
        }
    )


async def keep(books: Books, *differences: DifferenceRow) -> None:
    run = NewRun(books.network, 7, "0x07", True, 5, datetime.now(UTC))
    async with books.pool.acquire() as conn:
        await add_run(conn, run, differences)


async def test_the_last_run_is_shown_and_no_other_made(books: Books, millrace: CommandLine) -> None:
    last = ("reconcile", "--last", "--network", books.network)
    await books.deposit(700)
    report = await books.reconcile()
    (row,) = [row for row in await millrace.json(*last) if row["network"]]
    assert (row["clean"], row["height"], row["figures"]) == (True, report.height, report.figures)
    assert row in await millrace.json("reconcile", "--last", "--network", "simulated")
    told = await millrace.run(*last)
    assert f"at block {report.height}, {row['finished_at']}: " in told.stderr
    async with books.pool.acquire() as conn:
        count = "SELECT count(*) FROM reconciliations WHERE network = $1"
        assert await conn.fetchval(count, books.network) == 1


async def test_a_kept_difference_ends_with_1_and_names_the_address_as_people_do(
    books: Books, millrace: CommandLine
) -> None:
    account = f"{books.coin}:hot_wallet"
    await keep(
        books,
        DifferenceRow("chain", books.tenant, books.coin, FOUND_AT, 5, 7, "more"),
        DifferenceRow("chain", books.tenant, books.coin, account, 5, 7, "more"),
    )
    rows = await millrace.json("reconcile", "--last", "--network", books.network, status=1)
    (row,) = [row for row in rows if row["network"]]
    accounts = {found["account"]: found["expected_minor"] for found in row["differences"]}
    assert accounts == {show_address(FOUND_AT): "5", account: "5"}


async def test_another_network_has_no_last_run(books: Books, millrace: CommandLine) -> None:
    unknown = await millrace.run("reconcile", "--last", "--network", "eip155:5")
    assert (unknown.exit_code, "not configured" in unknown.stderr) == (2, True)
