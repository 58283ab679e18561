"""Brings the schema of a database up or down, by dbmate."""

from __future__ import annotations

import os
import subprocess
import sysconfig
from pathlib import Path
from typing import Literal

from settings.url import check_url

MIGRATIONS = Path(__file__).with_name("migrations")


class MigrationError(RuntimeError):
    """A migration failed. The text is dbmate's and has no password in it."""


def migrate(
    database_url: str, verb: Literal["up", "rollback"] = "up", migrations: Path = MIGRATIONS
) -> str:
    """Apply all pending migrations ("up", which also creates the database), or undo the last one.

    Return dbmate's output. Several callers at once wait for each other, once the database is there.
    MigrationError if a statement fails; each migration is one transaction, so none is applied by
    half.
    """
    try:
        check_url(database_url)
    except ValueError as error:
        raise MigrationError(str(error)) from None
    dbmate = Path(sysconfig.get_path("scripts")) / "dbmate"
    done = subprocess.run(
        [str(dbmate), "--migrations-dir", str(migrations), "--no-dump-schema", verb],
        # The URL has a password, which everyone could read on a command line.
        env=os.environ | {"DATABASE_URL": database_url, "DBMATE_MIGRATION_LOCK": "true"},
        check=False,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise MigrationError((done.stdout + done.stderr).replace(database_url, "(database)"))
    return done.stdout
