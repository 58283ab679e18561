"""The role of the workers can do all they do, and nothing that the owner alone should."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import asyncpg
import pytest

from sql.pool import Connection, Pool
from tests.migrations.test_queries import QUERIES, statements_of

OWNERS = {
    ("catalogue", "upsert_networks"),
    ("catalogue", "upsert_assets"),
    ("custody", "add_master_secret"),
}
"""What `millrace init` alone does."""


GRANTED = """
SELECT table_name, privilege_type FROM information_schema.role_table_grants
WHERE grantee = 'millrace_app' AND privilege_type <> 'SELECT'
UNION
SELECT table_name, privilege_type FROM information_schema.role_column_grants
WHERE grantee = 'millrace_app' AND privilege_type <> 'SELECT'
"""


@pytest.fixture
async def worker(pool: Pool) -> AsyncIterator[Connection]:
    """A connection with the privileges of the role and no others."""
    async with pool.acquire() as conn, conn.transaction():
        await conn.execute("SET LOCAL ROLE millrace_app")
        yield conn


@pytest.mark.parametrize(("subject", "name"), [q for q in QUERIES if q not in OWNERS])
async def test_a_worker_may_run_the_query(worker: Connection, subject: str, name: str) -> None:
    # Postgres checks the privileges of everything in a plan when it shows it.
    await worker.execute(f"EXPLAIN (GENERIC_PLAN) {getattr(statements_of(subject), name).sql}")


@pytest.mark.parametrize(("subject", "name"), sorted(OWNERS))
async def test_what_is_configured_is_for_the_owner(
    worker: Connection, subject: str, name: str
) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await worker.execute(f"EXPLAIN (GENERIC_PLAN) {getattr(statements_of(subject), name).sql}")


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE accounts SET balance_minor = 1",
        "UPDATE journal_lines SET amount_minor = 1",
        "DELETE FROM journal_lines",
        "DELETE FROM accounts",
        "UPDATE addresses SET owner = 'mallory'",
        "UPDATE key_pool SET public_key = ''",
        "UPDATE master_secrets SET envelope = ''",
        "UPDATE assets SET withdrawal_approval_minor = NULL",
        "UPDATE tenants SET name = 'acme'",
        "DELETE FROM tenants",
        "DELETE FROM withdrawals",
        "DELETE FROM transactions",
        "DELETE FROM deposits",
        "TRUNCATE deposits CASCADE",
        "ALTER TABLE withdrawals DISABLE TRIGGER ALL",
        "SET LOCAL session_replication_role = replica",
        "CREATE TABLE mine (n int)",
        "CREATE ROLE mallory",
    ],
)
async def test_what_no_worker_does_is_refused(worker: Connection, statement: str) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await worker.execute(statement)


async def test_the_role_may_write_nothing_that_no_query_writes(pool: Pool) -> None:
    written: set[tuple[str, str]] = set()
    async with pool.acquire() as conn:
        for query in QUERIES:
            if query not in OWNERS:
                written |= await writes_of(conn, *query)
        granted = {tuple(row) for row in await conn.fetch(GRANTED)}
    assert granted
    assert granted - written == set()


async def writes_of(conn: Connection, subject: str, name: str) -> set[tuple[str, str]]:
    """Return what a query writes and locks: tables, and the privilege it takes."""
    statement = getattr(statements_of(subject), name).sql
    explain = await conn.prepare(f"EXPLAIN (GENERIC_PLAN, FORMAT JSON) {statement}")
    [(plan,)] = await explain.fetch(*[None] * len(explain.get_parameters()))
    nodes = list(nodes_of(json.loads(plan)[0]["Plan"]))
    changes = [node for node in nodes if node["Node Type"] == "ModifyTable"]
    written = {(node["Relation Name"], node["Operation"].upper()) for node in changes}
    upserts = {
        (node["Relation Name"], "UPDATE")
        for node in changes
        if node.get("Conflict Resolution") == "UPDATE"
    }
    if all(node["Node Type"] != "LockRows" for node in nodes):
        return written | upserts
    return (
        written
        | upserts
        | {(node["Relation Name"], "UPDATE") for node in nodes if "Relation Name" in node}
    )


def nodes_of(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield node
    for below in node.get("Plans", []):
        yield from nodes_of(below)
