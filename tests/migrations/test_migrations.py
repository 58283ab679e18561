"""The schema goes up, down and up again, and the same twice changes nothing."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest

from devstack.postgres import Postgres
from sql.migrate import MIGRATIONS, MigrationError, migrate

FILES = sorted(MIGRATIONS.glob("*.sql"))

# Every table, column, constraint, index, function and trigger of ours, as text.
SCHEMA = """
SELECT array_agg(line ORDER BY line) FROM (
    SELECT format('column %s.%s %s %s', table_name, column_name, data_type, column_default) AS line
    FROM information_schema.columns WHERE table_schema = 'public'
    UNION ALL
    SELECT format('constraint %s %s %s', conrelid::regclass, conname, pg_get_constraintdef(oid))
    FROM pg_constraint WHERE connamespace = 'public'::regnamespace
    UNION ALL
    SELECT indexdef FROM pg_indexes WHERE schemaname = 'public'
    UNION ALL
    SELECT pg_get_functiondef(oid) FROM pg_proc WHERE pronamespace = 'public'::regnamespace
    UNION ALL
    SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal
    UNION ALL
    SELECT format('type %s', typname) FROM pg_type
    WHERE typnamespace = 'public'::regnamespace AND typtype IN ('e', 'd')
) AS everything WHERE line NOT LIKE '%schema_migrations%'
"""


@pytest.fixture
async def empty_url(postgres: Postgres) -> AsyncIterator[str]:
    """A database that does not exist yet: migrating creates it."""
    name = f"migrations_{secrets.token_hex(6)}"
    yield postgres.url_of(name)
    connection = await asyncpg.connect(postgres.url)
    await connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
    await connection.close()


async def create_database(postgres: Postgres, url: str, like: str = "") -> None:
    name = urlsplit(url).path.removeprefix("/")
    connection = await asyncpg.connect(postgres.url)
    await connection.execute(f"CREATE DATABASE {name} {like}")
    await connection.close()


async def schema_of(url: str) -> list[str]:
    connection = await asyncpg.connect(url)
    try:
        return list(await connection.fetchval(SCHEMA) or [])
    finally:
        await connection.close()


async def test_up_down_and_up_again_is_clean(empty_url: str) -> None:
    migrate(empty_url)
    first = await schema_of(empty_url)
    assert len(first) > 50
    for _ in FILES:
        migrate(empty_url, "rollback")
    assert await schema_of(empty_url) == []
    migrate(empty_url)
    assert await schema_of(empty_url) == first


async def test_applying_twice_changes_nothing(empty_url: str) -> None:
    migrate(empty_url)
    first = await schema_of(empty_url)
    assert migrate(empty_url) == ""
    assert await schema_of(empty_url) == first


async def test_several_may_migrate_at_once(postgres: Postgres, empty_url: str) -> None:
    await create_database(postgres, empty_url)
    await asyncio.gather(*(asyncio.to_thread(migrate, empty_url) for _ in range(3)))
    assert await schema_of(empty_url)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_each_migration_can_be_undone(file: Path) -> None:
    up, down = file.read_text().split("-- migrate:down")
    assert up.startswith("-- migrate:up\n")
    assert any(line and not line.startswith("--") for line in down.splitlines())


def test_versions_are_unique_and_without_gaps() -> None:
    versions = [int(file.name.split("_")[0]) for file in FILES]
    assert versions == list(range(1, len(FILES) + 1))


def test_a_failing_migration_leaves_nothing_and_tells_no_password(
    empty_url: str, postgres: Postgres, tmp_path: Path
) -> None:
    bad = "-- migrate:up\nCREATE TABLE half (n int);\nSELECT nonsense;\n-- migrate:down\n"
    (tmp_path / "0001_bad.sql").write_text(bad)
    with pytest.raises(MigrationError, match="nonsense") as failure:
        migrate(empty_url, migrations=tmp_path)
    assert (postgres.data_dir / "password").read_text() not in str(failure.value)
    assert asyncio.run(schema_of(empty_url)) == []


async def test_no_schema_is_made_where_some_texts_could_not_be_written(
    postgres: Postgres, empty_url: str
) -> None:
    """A cluster made without a locale has such databases, and one answer held up all webhooks."""
    await create_database(postgres, empty_url, "TEMPLATE template0 ENCODING 'SQL_ASCII'")
    with pytest.raises(MigrationError, match="UTF8, not in SQL_ASCII"):
        migrate(empty_url)
