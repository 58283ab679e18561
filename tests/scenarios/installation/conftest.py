"""A real broker and database that are set up once for each file, and the command line on them."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from devstack.chains.anvil import Anvil
from devstack.postgres import Postgres
from sql.pool import Pool, open_pool
from tests.conftest import execute
from tests.support.command_line import CommandLine, configuration

KEY = "correct horse battery staple"


@pytest.fixture(scope="module")
async def empty_database(postgres: Postgres) -> AsyncIterator[str]:
    """A database that nobody has made yet."""
    name = f"cli_{secrets.token_hex(6)}"
    yield postgres.url_of(name)
    await execute(postgres, f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


@pytest.fixture(scope="module")
def millrace(
    empty_database: str, kafka: str, topic_prefix: str, anvil: Anvil, servers_dir: Path
) -> CommandLine:
    return CommandLine(
        configuration(empty_database, kafka, topic_prefix, anvil)
        | {
            "MILLRACE_WALLET_ENC_KEY": KEY,
            "MILLRACE_WEBHOOK_ENC_KEY": f"{KEY} of webhooks",
        }
    )


@pytest.fixture(scope="module")
async def before_init(millrace: CommandLine) -> dict[str, str]:
    """What commands say of an installation that is not set up."""
    tried = [("worker", "--role", "deposits"), ("tenant", "list"), ("doctor",)]
    results = {arguments[0]: await millrace.run(*arguments) for arguments in tried}
    assert {result.exit_code for result in results.values()} == {1}
    return {name: result.output for name, result in results.items()}


@pytest.fixture(scope="module")
async def installed(before_init: dict[str, str], millrace: CommandLine) -> CommandLine:
    done = await millrace.json("init")
    assert [len(step["done"]) > 0 for step in done] == [True] * 6
    assert done[1]["done"] == [
        millrace.environ["MILLRACE_TOPIC_PREFIX"] + name
        for name in (
            "blocks",
            "deposits",
            "ledger",
            "events",
            "withdrawal-commands",
            "withdrawals-approved",
            "withdrawals-signed",
        )
    ]
    await millrace.json("tenant", "new", "acme")
    return millrace


@pytest.fixture(scope="module")
async def db(installed: CommandLine) -> AsyncIterator[Pool]:
    async with await open_pool(installed.environ["MILLRACE_DATABASE_URL"], 2) as pool:
        yield pool
