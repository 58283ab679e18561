"""The whole development stack: broker, database, chain node and Millrace's workers.

    async with Stack(Path(".millrace")) as stack:
        stack.run_workers(["follow_chain", "signer"], secrets={"signer": {...}})
        ...

Each server can be somebody else's instead: MILLRACE_KAFKA_BOOTSTRAP, MILLRACE_DATABASE_URL and
MILLRACE_RPC_URL (with MILLRACE_WEBSOCKET_URL) name it, and it is then neither started nor stopped.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import IO, Self, TypeVar

from devstack.anvil import Anvil, fetch_chain_id
from devstack.kafka import Kafka
from devstack.postgres import Postgres
from devstack.process import Server, ServerError
from devstack.workers import WorkerProcess
from sql.migrate import migrate

AnyServer = TypeVar("AnyServer", bound=Server)
DATABASE = "millrace"
LOCK = "stack.lock"


def try_lock(lock: IO[str]) -> bool:
    """Take the stack's lock if nobody has it. It is free again when its holder ends."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def dev_network(chain_id: int, rpc_url: str, push_url: str | None) -> dict[str, object]:
    """Return the configuration of the development chain: few confirmations, quick answers."""
    return {
        "network": f"eip155:{chain_id}",
        "kind": "ethereum",
        "rpc_urls": [rpc_url],
        "push_url": push_url,
        "native_asset": "ETH",
        "confirmations": 3,
        "start_height": 0,
        "poll_interval_s": 0.2,
    }


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


class Stack:
    """Servers and workers with their data in one folder, which one run uses at a time.

    A second run on the same folder finds the data of the first. Whatever becomes of the process
    that made it, nothing it started stays behind.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        block_time_s: int | None = None,
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        """Prepare a stack; the chain mines at once, or every `block_time_s` seconds."""
        self.data_dir = data_dir.absolute()
        self._environ = dict(environ)
        self.kafka = self._unless("MILLRACE_KAFKA_BOOTSTRAP", Kafka(self.data_dir / "kafka"))
        self.postgres = self._unless("MILLRACE_DATABASE_URL", Postgres(self.data_dir / "postgres"))
        self.anvil = self._unless(
            "MILLRACE_RPC_URL",
            Anvil(self.data_dir / "anvil", block_time_s=block_time_s, keep_state=True),
        )
        self.chain_id = 0
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
    def rpc_url(self) -> str:
        """The chain node, over HTTP."""
        return self.anvil.rpc_url if self.anvil else self._environ["MILLRACE_RPC_URL"]

    @property
    def push_url(self) -> str | None:
        """The chain node, over WebSocket, if there is such an address."""
        if self.anvil:
            return self.anvil.push_url
        return self._environ.get("MILLRACE_WEBSOCKET_URL")

    @property
    def servers(self) -> list[Server]:
        """The servers that are ours to start and stop."""
        return [server for server in (self.kafka, self.postgres, self.anvil) if server]

    async def start(self) -> None:
        """Start all servers at once and migrate the database.

        ServerError if one does not start or another run uses the folder; the others are stopped.
        MigrationError if the schema cannot be brought up.
        """
        self._take_lock()
        try:
            await _each(server.start for server in self.servers)
            await asyncio.to_thread(migrate, self.database_url)
            self.chain_id = await asyncio.to_thread(fetch_chain_id, self.rpc_url)
        except BaseException:
            await self.stop()
            raise

    def environment(self) -> dict[str, str]:
        """Return this process's environment with MILLRACE_* for the workers of this stack.

        Settings that are in the environment already win over the ones for development.
        """
        network = dev_network(self.chain_id, self.rpc_url, self.push_url)
        asset = {"asset": "ETH", "network": network["network"], "decimals": 18}
        defaults = {
            "MILLRACE_NETWORKS": json.dumps([network]),
            "MILLRACE_ASSETS": json.dumps([asset]),
            "MILLRACE_TOPIC_PARTITIONS": "4",
            "MILLRACE_WEBHOOK_ALLOW_PRIVATE": "true",
        }
        return {
            **defaults,
            **self._environ,
            "MILLRACE_KAFKA_BOOTSTRAP": self.kafka_bootstrap,
            "MILLRACE_DATABASE_URL": self.database_url,
            "MILLRACE_DATA_DIR": str(self.data_dir),
        }

    def run_workers(
        self,
        roles: Iterable[str],
        environment: Mapping[str, str] | None = None,
        secrets: Mapping[str, Mapping[str, str]] | None = None,
    ) -> dict[str, WorkerProcess]:
        """Start a worker for each role that has none yet; return all workers by role.

        `environment` is added to every worker's, `secrets[role]` to that role's alone.
        """
        for role in roles:
            if role not in self.workers:
                own = {**self.environment(), **(environment or {}), **(secrets or {}).get(role, {})}
                worker = WorkerProcess(role, own, self.data_dir / "logs" / f"{role}.log")
                self.workers[role] = worker
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

    def _take_lock(self) -> None:
        self.data_dir.mkdir(parents=True, exist_ok=True)
        lock = (self.data_dir / LOCK).open("a+")
        if not try_lock(lock):
            lock.close()
            message = f"a stack runs in {self.data_dir} already"
            raise ServerError(message)
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        self._lock = lock
