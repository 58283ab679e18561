"""What workers take for their database: no standby, none whose indexes or sequences are wrong."""

from __future__ import annotations

import asyncio
import os
import re
import secrets
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest
from pydantic import SecretStr
from structlog.testing import capture_logs

from agents.runtime.context import open_context, require_sound
from agents.runtime.faults import PASSING_FAULTS
from agents.runtime.run_stage import ATTEMPTS_MAX
from agents.runtime.stage import InvariantBroken
from cli.doctor import examine_database
from cli.errors import explain
from devstack.paths import ROOT
from devstack.postgres import Postgres, open_install
from settings.model import Settings
from sql.migrate import migrate
from sql.pool import Connection, Pool, open_pool
from tests.conftest import execute, fresh_database
from tests.faults.test_run_stage import Scene, scene
from tests.support.books import Books
from tests.support.silent_relay import silent_relay
from tests.support.webhooks import deliver, make_event, receive, register, store_event

__all__ = ["scene"]

MANUAL = (ROOT / "docs" / "operations.md").read_text()
END_SESSIONS = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{}'"


@contextmanager
def standby_of(primary: Postgres, folder: Path) -> Iterator[Postgres]:
    """Run a server that follows `primary` and takes no writes."""
    server = Postgres(folder, fsync=False)
    server.data_dir.mkdir()
    shutil.copy2(primary.data_dir / "password", server.data_dir)
    program = str(open_install() / "bin" / "pg_basebackup")
    url = urlsplit(primary.url)
    where = ["-h", "127.0.0.1", "-p", str(url.port), "-U", str(url.username)]
    what = ["-D", str(server.cluster_dir), "-R", "-X", "stream", "--checkpoint=fast"]
    subprocess.run(
        [program, *where, *what],
        env={"PGPASSWORD": str(url.password)},
        check=True,
        capture_output=True,
    )
    if os.getuid() == 0:
        for path in (server.cluster_dir, *server.cluster_dir.rglob("*")):
            shutil.chown(path, "nobody", primary.cluster_dir.stat().st_gid)
    with server:
        yield server


async def test_a_worker_leaves_a_standby_for_the_server_that_takes_writes(tmp_path: Path) -> None:
    """A pool that keeps what it got would fail at every write until it is started again."""
    with (
        Postgres(tmp_path / "first", fsync=False) as first,
        standby_of(first, tmp_path / "second") as second,
    ):
        hosts = f"127.0.0.1:{second.port},127.0.0.1:{first.port}"
        both = first.url.replace(f"127.0.0.1:{first.port}", hosts)
        async with await open_pool(both, 2, writes=True) as pool:
            await pool.execute("CREATE TABLE noted (number integer)")
            first.kill()
            with pytest.raises(PASSING_FAULTS):
                while True:  # the connections there are die first
                    await pool.execute("INSERT INTO noted VALUES (1)")
            await execute(second, "SELECT pg_promote()")
            await pool.execute("INSERT INTO noted VALUES (2)")
            assert await pool.fetchval("SELECT 2 IN (SELECT number FROM noted)")


async def test_a_server_that_lets_nobody_in_is_not_held_against_the_record(
    scene: Scene, postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As while a password is changed. A connection comes back just when the stage would park."""
    runner = scene.runner()
    await runner.run(scene.send([1]))
    name = await scene.pool.fetchval("SELECT current_database()")
    connect: Any = vars(asyncpg.Pool)["_get_new_connection"]
    refused = 0

    async def connect_or_give_back(pool: Pool) -> Any:  # noqa: ANN401 - as asyncpg has it
        nonlocal refused
        try:
            return await connect(pool)
        except asyncpg.PostgresError:
            refused += 1
            if refused == 1 + ATTEMPTS_MAX:
                await pool.release(kept)
            raise

    async with await open_pool(postgres.url_of(name), 2) as pool:
        kept = await pool.acquire()
        monkeypatch.setattr(asyncpg.Pool, "_get_new_connection", connect_or_give_back)
        monkeypatch.setattr(scene.context, "pool", pool)
        await execute(postgres, f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        await runner.run(scene.send([2]))
        await execute(postgres, f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
    assert refused > ATTEMPTS_MAX
    assert await scene.noted() == [1, 2]
    assert await scene.parked() == 0


async def test_a_commit_of_which_no_answer_came_is_not_told_as_undone(tmp_path: Path) -> None:
    """As where the server goes down while it waits for its standby. Whoever repeats it looks."""
    waiting = "SELECT pid FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
    with Postgres(tmp_path / "postgres", fsync=False) as server:
        await execute(server, "CREATE TABLE noted (number int)")
        await execute(server, "ALTER SYSTEM SET synchronous_standby_names = 'gone'")
        await execute(server, "SELECT pg_reload_conf()")
        async with await open_pool(server.url, 2) as pool:
            noting = asyncio.create_task(pool.execute("INSERT INTO noted VALUES (1)"))
            while (pid := await pool.fetchval(waiting)) is None:  # noqa: ASYNC110 - nothing tells
                await asyncio.sleep(0.05)
            await pool.execute("SELECT pg_terminate_backend($1)", pid)
            with pytest.raises(asyncpg.PostgresConnectionError) as lost:
                await noting
            assert await pool.fetchval("SELECT number FROM noted") == 1
    problem = explain(lost.value)
    assert problem is not None
    assert "not known" in problem.meaning


def has_met_it(lines: Sequence[Mapping[str, object]]) -> bool:
    return any("target attribute" in str(line.get("error")) for line in lines)


async def test_webhooks_wait_while_their_database_takes_no_writes(
    postgres: Postgres, template_database: str
) -> None:
    async with (
        fresh_database(postgres, template_database) as name,
        await open_pool(postgres.url_of(name), 3, writes=True) as pool,
        receive() as receiver,
        deliver(pool),
    ):
        await register(pool, "tenant", receiver.url)
        await store_event(pool, make_event("tenant", 1))
        await receiver.wait_for(1)
        with capture_logs() as lines:
            await execute(postgres, f"ALTER DATABASE {name} SET default_transaction_read_only = on")
            await execute(postgres, END_SESSIONS.format(name))
            async with asyncio.timeout(30):
                while not has_met_it(lines):  # noqa: ASYNC110 - nothing tells
                    await asyncio.sleep(0.05)
        await execute(postgres, f"ALTER DATABASE {name} RESET default_transaction_read_only")
        await store_event(pool, make_event("tenant", 2))
        await receiver.wait_for(2)


async def test_webhooks_go_on_after_a_connection_that_died_between_two_statements(
    postgres: Postgres, template_database: str
) -> None:
    """The client has read the server's last words, and not yet that it is gone."""
    async with (
        fresh_database(postgres, template_database) as name,
        silent_relay(postgres.url_of(name)) as relay,
        await open_pool(relay.url, 3) as pool,
        receive() as receiver,
        deliver(pool),
    ):
        await register(pool, "tenant", receiver.url)
        await store_event(pool, make_event("tenant", 1))
        await receiver.wait_for(1)
        with relay.hidden_ends():
            await execute(postgres, END_SESSIONS.format(name))
            async with await open_pool(postgres.url_of(name), 1) as other:
                await store_event(other, make_event("tenant", 2))
            await receiver.wait_for(2)


async def test_no_worker_and_no_doctor_trusts_indexes_of_another_order_of_texts(
    postgres: Postgres, kafka: str
) -> None:
    """As after an upgrade of the system: a unique key may then let a deposit in twice."""
    name = f"sorted_{secrets.token_hex(4)}"
    await execute(
        postgres,
        f"CREATE DATABASE {name} TEMPLATE template0"
        " LOCALE_PROVIDER builtin BUILTIN_LOCALE 'C.UTF-8' LC_COLLATE 'C' LC_CTYPE 'C'",
    )
    migrate(postgres.url_of(name))
    settings = Settings(
        database_url=SecretStr(postgres.url_of(name)), kafka_bootstrap=kafka, topic_prefix=name
    )
    async with open_context(settings) as context:
        assert await context.pool.fetchval("SELECT count(*) FROM deposits") == 0
    assert "order of texts" not in await named_by_doctor(settings)

    made_by = "UPDATE pg_database SET datcollversion = 'old' WHERE datname"
    await execute(postgres, f"{made_by} = '{name}'")
    with pytest.raises(InvariantBroken, match="sort otherwise"):
        async with open_context(settings):
            pass
    assert "order of texts" in await named_by_doctor(settings)
    await execute(postgres, f"DROP DATABASE {name} WITH (FORCE)")


async def test_no_worker_starts_before_sequences_are_set_as_the_manual_says(
    pool: Pool, database_url: str
) -> None:
    """As in a copy by logical replication."""
    settings = Settings(database_url=SecretStr(database_url))
    books = Books(pool, database_url)
    await books.start()
    await books.deposit(500)
    async with pool.acquire() as conn:
        await require_sound(conn)
        await conn.execute("ALTER SEQUENCE deposits_deposit_id_seq RESTART")
        await conn.execute("ALTER SEQUENCE journal_entry_ids RESTART")
        await conn.execute("SET ROLE millrace_app")
        with pytest.raises(InvariantBroken, match="deposits_deposit_id_seq, journal_entry_ids"):
            await require_sound(conn)
        await conn.execute("RESET ROLE")
        assert "sequences" in await named_by_doctor(settings)
        section = MANUAL.partition("### Sequences that are behind")[2].partition("\n### ")[0]
        [query] = re.findall(r"(?ms)^    (SELECT format.*?)^    \\gexec", section)
        for (statement,) in await conn.fetch(query):
            await conn.execute(statement)
        await require_sound(conn)
    await books.deposit(70)
    assert await books.available() == 570


async def test_no_sequence_is_left_out_when_they_are_looked_at(pool: Pool) -> None:
    query = (ROOT / "sql" / "health.sql").read_text().partition("-- name: late_sequences")[2]
    made = await pool.fetch("SELECT sequencename FROM pg_sequences WHERE schemaname = 'public'")
    assert {name for (name,) in made} == set(re.findall(r"SELECT\s+'(\w+)'", query))


async def test_a_connection_made_later_is_examined_as_well(postgres: Postgres) -> None:
    """The server may have been upgraded while a worker waited for it."""
    seen: list[int] = []

    async def examine(conn: Connection) -> None:
        seen.append(conn.get_server_pid())

    async with (
        await open_pool(postgres.url, 2, examine=examine) as pool,
        pool.acquire() as one,
        pool.acquire() as other,
    ):
        assert seen == [one.get_server_pid(), other.get_server_pid()]


async def test_no_worker_takes_a_session_that_has_not_what_it_asked_for(postgres: Postgres) -> None:
    """As through a pooler that drops it, and gives each transaction another session as well."""
    without = await asyncpg.connect(postgres.url)
    try:
        with pytest.raises(InvariantBroken, match="pooler is in between"):
            await require_sound(without)
        await without.execute("SET idle_in_transaction_session_timeout = '500ms'")
        await require_sound(without)
    finally:
        await without.close()


async def named_by_doctor(settings: Settings) -> list[str]:
    _, found = await examine_database(settings, None)
    return [finding.check for finding in found if finding.state == "red"]
