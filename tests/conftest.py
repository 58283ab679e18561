"""Real servers for the tests: started when first asked for, one of each in a session."""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import pytest

from devstack.chains.anvil import Anvil
from devstack.chains.bitcoin import BitcoinNode, CoreNode, DogecoinNode, LitecoinNode
from devstack.chains.solana import SolanaNode
from devstack.chains.stellar import StellarNode
from devstack.chains.surfpool import SurfpoolNode
from devstack.chains.ton import TonNode
from devstack.chains.tron import TronNode
from devstack.kafka import Kafka
from devstack.postgres import Postgres
from sql.migrate import migrate
from sql.pool import Pool, open_pool
from tests.support.chain_worlds.btcd import Btcd
from tests.support.nodes import require_node

TEMPLATE = "migrated_template"


@pytest.fixture(scope="session")
def servers_dir() -> Iterator[Path]:
    """A data folder outside the checkout, which the database's own user can reach."""
    folder = Path(tempfile.mkdtemp(prefix="millrace-tests-"))
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres(servers_dir: Path) -> Iterator[Postgres]:
    """The session's database server. It may lose data in a power cut, for speed."""
    with Postgres(servers_dir / "postgres", fsync=False, connections_max=200) as server:
        yield server


@pytest.fixture(scope="session")
def template_database(postgres: Postgres) -> str:
    """The name of a migrated, empty database to copy."""
    migrate(postgres.url_of(TEMPLATE))
    return TEMPLATE


async def execute(postgres: Postgres, statement: str) -> None:
    connection = await asyncpg.connect(postgres.url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


@asynccontextmanager
async def fresh_database(postgres: Postgres, template: str) -> AsyncIterator[str]:
    """Make a copy of the template and yield its name; it is dropped in the end."""
    name = f"test_{secrets.token_hex(6)}"
    await execute(postgres, f"CREATE DATABASE {name} TEMPLATE {template}")
    try:
        yield name
    finally:
        await execute(postgres, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="module")
async def database_url(postgres: Postgres, template_database: str) -> AsyncIterator[str]:
    """A fresh migrated database for each test module."""
    async with fresh_database(postgres, template_database) as name:
        yield postgres.url_of(name)


@pytest.fixture(scope="module")
async def pool(database_url: str) -> AsyncIterator[Pool]:
    """A pool of up to ten connections to the module's database, as the workers open theirs."""
    async with await open_pool(database_url, size=10) as connections:
        yield connections


@pytest.fixture
async def no_endpoints_of_other_tests(pool: Pool) -> None:
    """Let a delivery worker find the webhooks of this test alone."""
    await pool.execute("DELETE FROM endpoints")


@pytest.fixture(scope="session")
def kafka(servers_dir: Path) -> Iterator[str]:
    """Bootstrap address of the session's broker. Make topics under `topic_prefix`."""
    with Kafka(servers_dir / "kafka", heap_mib=192) as broker:
        yield broker.bootstrap


@pytest.fixture(scope="module")
def topic_prefix() -> str:
    """A prefix no other module uses, so that all can share one broker."""
    return f"test-{secrets.token_hex(6)}."


@pytest.fixture(scope="module")
def anvil(servers_dir: Path) -> Iterator[Anvil]:
    """A fresh chain for each test module: `rpc_url`, `push_url`, `chain_id`."""
    with Anvil(servers_dir / f"anvil-{secrets.token_hex(6)}", keep_state=False) as node:
        yield node


@pytest.fixture(scope="module")
def bitcoin_node(servers_dir: Path) -> Iterator[CoreNode]:
    """A fresh chain for each test module, under Bitcoin's constants."""
    require_node("bitcoin")
    with BitcoinNode(servers_dir / f"bitcoin-{secrets.token_hex(6)}") as node:
        yield node


@pytest.fixture(scope="module")
def btcd(servers_dir: Path) -> Iterator[Btcd]:
    """A fresh chain for each test module, on another node than the usual one: see `make btcd`."""
    with Btcd(servers_dir / f"btcd-{secrets.token_hex(6)}") as node:
        yield node


@pytest.fixture(scope="module")
def dogecoin_node(servers_dir: Path) -> Iterator[CoreNode]:
    """A fresh chain for each test module, under Dogecoin's constants."""
    require_node("dogecoin")
    with DogecoinNode(servers_dir / f"dogecoin-{secrets.token_hex(6)}") as node:
        yield node


@pytest.fixture(scope="module")
def litecoin_node(servers_dir: Path) -> Iterator[CoreNode]:
    """A fresh chain for each test module, under its own constants."""
    require_node("litecoin")
    with LitecoinNode(servers_dir / f"litecoin-{secrets.token_hex(6)}") as node:
        yield node


@pytest.fixture(scope="module")
def tron_node(servers_dir: Path) -> Iterator[TronNode]:
    """A fresh chain for each test module: `rpc_url`, `network`."""
    with TronNode(servers_dir / f"tron-{secrets.token_hex(6)}") as node:
        yield node


@pytest.fixture(scope="module")
def ton_node(servers_dir: Path) -> Iterator[TonNode]:
    """A fresh chain for each test module."""
    with TonNode(servers_dir / f"ton-{secrets.token_hex(6)}") as node:
        yield node


@pytest.fixture(scope="module")
def solana_node(servers_dir: Path) -> Iterator[SolanaNode]:
    """A fresh chain for each test module: the emulator, or Surfpool if it is told where that is."""
    folder = servers_dir / f"solana-{secrets.token_hex(6)}"
    program = os.environ.get("MILLRACE_SURFPOOL")
    with SurfpoolNode(folder, Path(program)) if program else SolanaNode(folder) as node:
        yield node


@pytest.fixture(scope="module")
def stellar_node(servers_dir: Path) -> Iterator[StellarNode]:
    """A fresh chain for each test module: `rpc_url`, `network`."""
    with StellarNode(servers_dir / f"stellar-{secrets.token_hex(6)}") as node:
        yield node
