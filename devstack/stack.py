"""The whole development stack: broker, database, chain nodes and Millrace's workers.

    async with Stack(Path(".millrace"), chains=["ethereum", "bitcoin"]) as stack:
        stack.run_workers(["follow_chain", "signer"], secrets={"signer": {...}})
        ...

Some servers can be somebody else's instead, neither started nor stopped: MILLRACE_KAFKA_BOOTSTRAP,
MILLRACE_DATABASE_URL and, for Ethereum, MILLRACE_RPC_URL (with MILLRACE_WEBSOCKET_URL) name them.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import IO, Any, Self, TypeVar

from chain_adapters.registry import open_adapter
from devstack.chains.anvil import ask_chain_id, dev_network
from devstack.chains.chain import DevChain
from devstack.chains.registry import NODES, open_node
from devstack.kafka import Kafka
from devstack.postgres import Postgres
from devstack.process import Server, ServerError
from devstack.workers import WorkerProcess
from settings.model import Network
from sql.migrate import migrate

AnyServer = TypeVar("AnyServer", bound=Server)
DATABASE = "millrace"
APP_ROLE = "millrace_app"
LOCK = "stack.lock"
TOKENS = "tokens.json"


def try_lock(lock: IO[str]) -> bool:
    """Take the stack's lock if nobody has it. It is free again when its holder ends."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


async def _each(actions: Iterable[Callable[[], None]]) -> None:
    """Run blocking actions side by side; wait for all, then raise the first error."""
    threads = asyncio.gather(*map(asyncio.to_thread, actions), return_exceptions=True)
    try:
        results = await asyncio.shield(threads)
    except asyncio.CancelledError:
        await threads  # a thread cannot be cancelled, and what it starts must not be missed
        raise
    for result in results:
        if isinstance(result, BaseException):
            raise result


async def _native_decimals(network: dict[str, Any]) -> int:
    adapter = open_adapter(Network(**network))
    await adapter.close()
    return adapter.native_decimals


class Stack:
    """Servers and workers with their data in one folder, which one run uses at a time.

    A second run on the same folder finds the data of the first. Whatever becomes of the process
    that made it, nothing it started stays behind.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        chains: Sequence[str] = ("ethereum",),
        block_time_s: int | None = None,
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        """Prepare a stack with a node of each kind of chain; KeyError for an unknown kind.

        With `block_time_s` the nodes make blocks by themselves too, so often.
        """
        self.data_dir = data_dir.absolute()
        self._environ = dict(environ)
        self.kafka = self._unless("MILLRACE_KAFKA_BOOTSTRAP", Kafka(self.data_dir / "kafka"))
        self.postgres = self._unless("MILLRACE_DATABASE_URL", Postgres(self.data_dir / "postgres"))
        self.chains = tuple(chains)
        self.nodes = {
            kind: open_node(kind, self.data_dir / kind, block_time_s=block_time_s)
            for kind in chains
            if not (kind == "ethereum" and self._environ.get("MILLRACE_RPC_URL"))
        }
        """Those that are ours to start and stop."""
        self.networks: list[dict[str, Any]] = []
        """The settings of the networks, one for each of `chains`, once the stack is started."""
        self._decimals: list[int] = []
        self._tokens: list[dict[str, Any]] = []
        self.workers: dict[str, WorkerProcess] = {}
        self._lock: IO[str] | None = None

    @property
    def kafka_bootstrap(self) -> str:
        """The broker's address."""
        return self.kafka.bootstrap if self.kafka else self._environ["MILLRACE_KAFKA_BOOTSTRAP"]

    @property
    def database_url(self) -> str:
        """The migrated database; there is a password in it."""
        if self.postgres:
            return self.postgres.url_of(DATABASE)
        return self._environ["MILLRACE_DATABASE_URL"]

    @property
    def servers(self) -> list[Server]:
        """The servers that are ours to start and stop."""
        return [*filter(None, (self.kafka, self.postgres)), *self.nodes.values()]

    def open_chain(self, kind: str) -> AbstractAsyncContextManager[DevChain]:
        """Return a client of the node of a kind of chain, once the stack is started."""
        if kind in self.nodes:
            return self.nodes[kind].open_chain()
        [network] = [network for network in self.networks if network["kind"] == kind]
        return NODES[kind].attach(network["rpc_urls"][0], self.data_dir / kind)

    async def start(self) -> None:
        """Start all servers at once and migrate the database.

        ServerError if one does not start, another run uses the folder, or somebody else's node does
        not answer; the others are stopped.
        MigrationError if the schema cannot be brought up.
        """
        self._take_lock()
        try:
            await _each(server.start for server in self.servers)
            await asyncio.to_thread(migrate, self.database_url)
            self.networks = [await self._describe(kind) for kind in self.chains]
            self._decimals = [await _native_decimals(network) for network in self.networks]
        except BaseException:
            await self.stop()
            raise

    def native_assets(self) -> list[dict[str, Any]]:
        """Return the settings of the networks' own assets.

        Less than a millionth is no deposit: on TON a nanoton comes along with every token.
        """
        return [
            {
                "asset": network["native_asset"],
                "network": network["network"],
                "decimals": decimals,
                "deposit_minor_min": 10 ** max(decimals - 6, 0),
            }
            for network, decimals in zip(self.networks, self._decimals, strict=True)
        ]

    async def issue_tokens(self) -> None:
        """Have a test token on each node of ours whose chain has tokens, for `environment` to list.

        It is made once: the next run on this folder has the same one.
        """
        file = self.data_dir / TOKENS
        kept: dict[str, dict[str, Any]] = json.loads(file.read_text()) if file.exists() else {}
        for network in self.networks:
            name, kind = network["network"], network["kind"]
            if kind in self.nodes and NODES[kind].has_tokens and name not in kept:
                async with self.open_chain(kind) as chain:
                    kept[name] = {
                        "asset": f"{network['native_asset']}-TEST",
                        "network": name,
                        "contract": await chain.issue_token("TEST"),
                        "decimals": NODES[kind].token_decimals,
                    }
                file.write_text(json.dumps(kept))
        names = {network["network"] for network in self.networks}
        self._tokens = [token for name, token in kept.items() if name in names]

    def environment(self) -> dict[str, str]:
        """Return this process's environment with MILLRACE_* for the workers of this stack.

        Settings that are in the environment already win over the ones for development.
        """
        defaults = {
            "MILLRACE_NETWORKS": json.dumps(self.networks),
            "MILLRACE_ASSETS": json.dumps(self.native_assets() + self._tokens),
            "MILLRACE_TOPIC_PARTITIONS": "4",
            "MILLRACE_WEBHOOK_ALLOW_PRIVATE": "true",
        }
        given = {
            name: value
            for name, value in self._environ.items()
            # Passwords and certificates for another broker are of no use to our own.
            if self.kafka is None or not name.startswith("MILLRACE_KAFKA_")
        }
        return {
            **defaults,
            **given,
            "MILLRACE_KAFKA_BOOTSTRAP": self.kafka_bootstrap,
            "MILLRACE_DATABASE_URL": self.database_url,
            "MILLRACE_DATA_DIR": str(self.data_dir),
        }

    def run_workers(
        self,
        roles: Iterable[str],
        environment: Mapping[str, str] | None = None,
        secrets: Mapping[str, Mapping[str, str]] | None = None,
        *,
        each: int = 1,
    ) -> dict[str, WorkerProcess]:
        """Start `each` workers for each role that has none yet; return all workers by name.

        The first of a role has its name. `environment` is added to every worker's, `secrets[role]`
        to that role's alone. In a database of ours they have the privileges of millrace_app, not
        the owner's.
        """
        for role in roles:
            if role not in self.workers:
                own = {**self.environment(), **(environment or {}), **(secrets or {}).get(role, {})}
                if self.postgres:
                    own["MILLRACE_DATABASE_URL"] = self.postgres.url_of(DATABASE, role=APP_ROLE)
                for name in [role, *(f"{role}-{number}" for number in range(2, each + 1))]:
                    worker = WorkerProcess(role, own, self.data_dir / "logs" / f"{name}.log")
                    self.workers[name] = worker
                    worker.start()
        return self.workers

    async def stop(self) -> None:
        """Stop the workers, then the servers, all gracefully. A second call does nothing."""
        await asyncio.gather(*(worker.stop() for worker in self.workers.values()))
        self.workers = {}
        await _each(server.stop for server in self.servers)
        if self._lock:
            self._lock.close()
            self._lock = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    def _unless(self, variable: str, server: AnyServer) -> AnyServer | None:
        return None if self._environ.get(variable) else server

    async def _describe(self, kind: str) -> dict[str, Any]:
        """Return the settings of a network whose node runs, ours or somebody else's."""
        if kind in self.nodes:
            return self.nodes[kind].network_config()
        url = self._environ["MILLRACE_RPC_URL"]
        chain_id = await ask_chain_id(url)
        return dev_network(chain_id, url, self._environ.get("MILLRACE_WEBSOCKET_URL"))

    def _take_lock(self) -> None:
        self.data_dir.mkdir(parents=True, exist_ok=True)
        lock = (self.data_dir / LOCK).open("a+")
        if not try_lock(lock):
            lock.close()
            message = f"a stack runs in {self.data_dir} already; `make down` stops it"
            raise ServerError(message)
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        self._lock = lock
