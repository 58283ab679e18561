"""The database as docker-compose.yml sets it up: a workers' user that owns nothing."""

from __future__ import annotations

import secrets
import subprocess
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest

from devstack.postgres import Postgres, open_install
from sql.migrate import migrate

SCRIPT = Path(__file__).parents[2] / "ops/postgres/worker.sql"
MOUNTED = "/run/secrets/worker_password"


def set_up(server: Postgres, folder: Path) -> str:
    """Run the script as the image does, and return the workers' connection string."""
    password = secrets.token_urlsafe(24)
    (folder / "password").write_text(password)
    script = folder / SCRIPT.name
    text = SCRIPT.read_text()
    assert MOUNTED in text
    script.write_text(text.replace(MOUNTED, str(folder / "password")))
    url = urlsplit(server.url)
    psql = str(open_install() / "bin" / "psql")
    options = ["-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-p", str(server.port)]
    subprocess.run(
        [psql, *options, "-U", str(url.username), "-d", "postgres", "-f", str(script)],
        env={"PGPASSWORD": str(url.password)},
        check=True,
        capture_output=True,
    )
    address = f"millrace_worker:{password}@127.0.0.1:{server.port}"
    return urlunsplit(url._replace(netloc=address))


async def test_the_workers_user_works_and_cannot_get_round_the_guards(tmp_path: Path) -> None:
    with Postgres(tmp_path / "postgres", fsync=False) as server:
        url = set_up(server, tmp_path)
        migrate(server.url)
        worker = await asyncpg.connect(url)
        try:
            assert await worker.fetchval("SELECT count(*) FROM deposits") == 0
            await worker.execute("SELECT nextval('journal_entry_ids')")
            for statement in (
                "ALTER TABLE journal_lines DISABLE TRIGGER ALL",
                "SET session_replication_role = replica",
                "DELETE FROM journal_lines",
                "UPDATE accounts SET balance_minor = 1",
                "SET ROLE millrace",
            ):
                with pytest.raises(asyncpg.InsufficientPrivilegeError):
                    await worker.execute(statement)
        finally:
            await worker.close()
