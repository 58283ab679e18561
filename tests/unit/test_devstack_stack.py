"""The stack and its workers: external servers, restarts, secrets, a stop from outside."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import asyncpg
import psutil
import pytest

from cli.errors import Problem
from cli.stack import watch
from devstack.chains.anvil import Anvil
from devstack.down import stop_stack
from devstack.paths import ROOT
from devstack.process import ServerError
from devstack.stack import Stack
from devstack.workers import BACKOFF_MAX_S, BACKOFF_MIN_S, WorkerProcess, next_backoff
from tests.support.nodes import require_node

SLEEPER = (sys.executable, "-c", "import time; time.sleep(600)")

UP = """
import asyncio, os, sys
from pathlib import Path
from devstack.stack import Stack
async def main():
    async with Stack(Path(sys.argv[1])):
        print("up", flush=True)
        await asyncio.Event().wait()
asyncio.run(main())
"""


@pytest.fixture
def external(database_url: str, anvil: Anvil) -> dict[str, str]:
    return {
        "MILLRACE_KAFKA_BOOTSTRAP": "127.0.0.1:9",
        "MILLRACE_DATABASE_URL": database_url,
        "MILLRACE_RPC_URL": anvil.rpc_url,
    }


@pytest.fixture
async def worker(tmp_path: Path) -> AsyncIterator[WorkerProcess]:
    process = WorkerProcess("sleeper", {}, tmp_path / "log", SLEEPER)
    process.start()
    yield process
    await process.stop()


async def until(done: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not done():  # noqa: ASYNC110 - processes set no event
            await asyncio.sleep(0.02)


async def test_all_servers_come_up_together_and_none_stays(servers_dir: Path) -> None:
    async with Stack(servers_dir / "whole-stack", environ={}) as stack:
        assert [server.alive for server in stack.servers] == [True] * 3
        pids = [server.pid for server in stack.servers]
        connection = await asyncpg.connect(stack.database_url)
        assert await connection.fetchval("SELECT count(*) FROM tenants") == 0
        await connection.close()
    assert not any(psutil.pid_exists(pid) for pid in pids)


async def test_external_servers_are_used_and_left_alone(
    tmp_path: Path, external: dict[str, str], anvil: Anvil
) -> None:
    async with Stack(tmp_path, environ=external) as stack:
        assert stack.servers == []
        environment = stack.environment()
        assert environment["MILLRACE_DATABASE_URL"] == external["MILLRACE_DATABASE_URL"]
        assert environment["MILLRACE_KAFKA_BOOTSTRAP"] == "127.0.0.1:9"
        (network,) = json.loads(environment["MILLRACE_NETWORKS"])
        assert network["network"] == f"eip155:{anvil.chain_id}"
        assert network["rpc_urls"] == [anvil.rpc_url]
    assert anvil.alive


async def test_every_run_on_a_folder_has_the_same_test_tokens(
    tmp_path: Path, external: dict[str, str]
) -> None:
    require_node("dogecoin")
    ours = {name: value for name, value in external.items() if name != "MILLRACE_RPC_URL"}
    listed = []
    for _ in range(2):
        async with Stack(tmp_path, chains=["ethereum", "dogecoin"], environ=ours) as stack:
            await stack.issue_tokens()
            listed.append(json.loads(stack.environment()["MILLRACE_ASSETS"]))
            async with stack.open_chain("ethereum") as chain:
                await chain.pay_token(listed[0][-1]["contract"], "0x" + "22" * 20, 5)
    assert [asset["asset"] for asset in listed[0]] == ["ETH", "DOGE", "ETH-TEST"]
    assert listed[0] == listed[1]


async def test_nothing_is_issued_on_a_node_of_somebody_elses(
    tmp_path: Path, external: dict[str, str]
) -> None:
    async with Stack(tmp_path, environ=external) as stack:
        await stack.issue_tokens()
        (coin,) = json.loads(stack.environment()["MILLRACE_ASSETS"])
    assert coin["asset"] == "ETH"


async def test_two_stacks_do_not_share_a_folder(tmp_path: Path, external: dict[str, str]) -> None:
    async with Stack(tmp_path, environ=external):
        with pytest.raises(ServerError, match="already"):
            await Stack(tmp_path, environ=external).start()
    async with Stack(tmp_path, environ=external):
        pass


async def test_a_killed_worker_is_started_again(worker: WorkerProcess) -> None:
    await until(lambda: worker.alive)
    first = worker.pid
    worker.kill()
    await until(lambda: worker.alive and worker.pid != first)
    assert worker.starts == 2
    assert worker.exit_status == 128 + signal.SIGKILL


async def test_up_tells_of_a_worker_started_again_and_ends_with_a_server(
    tmp_path: Path, external: dict[str, str]
) -> None:
    environ = {name: url for name, url in external.items() if name != "MILLRACE_RPC_URL"}
    told: list[str] = []
    async with Stack(tmp_path / "up", environ=environ) as stack:
        worker = WorkerProcess("sleeper", {}, tmp_path / "log", SLEEPER)
        stack.workers["sleeper"] = worker
        worker.start()
        await until(lambda: worker.alive)
        watching = asyncio.create_task(watch(stack, asyncio.Event(), told.append))
        worker.kill()
        await until(lambda: bool(told))
        os.kill(stack.nodes["ethereum"].pid, signal.SIGKILL)
        with pytest.raises(Problem, match="anvil ended by itself"):
            await watching
    assert told == [f"worker sleeper ended and was started again; see {tmp_path / 'log'}"]


async def test_a_worker_waits_for_its_last_run_not_for_those_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # One that failed often and then ran well is started again at once.
    monkeypatch.setattr("devstack.workers.BACKOFF_MIN_S", 3600.0)
    monkeypatch.setattr("devstack.workers.next_backoff", lambda _, ran_s: 0.0)
    process = WorkerProcess("sleeper", {}, tmp_path / "log", SLEEPER)
    process.start()
    try:
        await until(lambda: process.alive)
        process.kill()
        await until(lambda: process.starts == 2)
    finally:
        await process.stop()


async def test_a_stopped_worker_stays_down(worker: WorkerProcess) -> None:
    await until(lambda: worker.alive)
    await worker.stop()
    assert not worker.alive
    assert worker.exit_status == 128 + signal.SIGTERM


async def test_a_secret_reaches_its_own_role_alone(
    tmp_path: Path, external: dict[str, str]
) -> None:
    async with Stack(tmp_path, environ=external) as stack:
        secrets = {"signer": {"MILLRACE_WALLET_ENC_KEY": "of-the-signer"}}
        workers = stack.run_workers(["signer", "notify"], secrets=secrets)
        await until(lambda: all(worker.pid for worker in workers.values()))
        held = {role: "of-the-signer" in repr(worker.__dict__) for role, worker in workers.items()}
    assert held == {"signer": True, "notify": False}


def test_a_worker_that_keeps_ending_waits_longer_each_time() -> None:
    waits = [BACKOFF_MIN_S]
    for _ in range(6):
        waits.append(next_backoff(waits[-1], ran_s=0.0))
    assert waits == sorted(waits)
    assert waits[-1] == BACKOFF_MAX_S
    assert next_backoff(waits[-1], ran_s=60.0) == BACKOFF_MIN_S


def test_a_stack_can_be_stopped_from_outside(tmp_path: Path, external: dict[str, str]) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", UP, str(tmp_path)], cwd=ROOT, env=external, stdout=subprocess.PIPE
    ) as owner:
        assert owner.stdout
        assert owner.stdout.readline() == b"up\n"
        assert "is stopped" in stop_stack(tmp_path)
    assert "no stack runs" in stop_stack(tmp_path)


def test_our_own_broker_is_not_asked_for_the_password_of_another(
    tmp_path: Path, external: dict[str, str]
) -> None:
    secured = {"MILLRACE_KAFKA_SECURITY_PROTOCOL": "SASL_SSL", "MILLRACE_KAFKA_SASL_PASSWORD": "p"}
    theirs = Stack(tmp_path, environ=external | secured)
    assert secured.items() <= theirs.environment().items()
    del external["MILLRACE_KAFKA_BOOTSTRAP"]
    ours = Stack(tmp_path, environ=external | secured)
    assert secured.keys().isdisjoint(ours.environment())
