"""Every CHECK and every unique key refuses something by itself, were no trigger before it.

Each case is a row that would be accepted but for what is changed in it, so that one constraint
alone can be meant. The last test holds the names of those that refused against all there are.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import asyncpg
import pytest

from sql.pool import Connection, Pool

Row = dict[str, str]
"""SQL expressions by column."""

PLAIN = {"text": "'x'", "bytea": "''", "boolean": "false", "uuid": "gen_random_uuid()"}
"""What stands in a column that must have something; else 1, or now() in one of time."""

ACCEPTED: dict[str, Row] = {
    "networks": {"network": "'test:1'"},
    "buckets": {"kind": "'asset'"},
    "journal_lines": {"line": "0", "credit_account": "2"},
    "addresses": {"owner": "''", "purpose": "'hot'"},
    "deposits": {"status": "'detected'"},
    "network_costs": {"status": "'detected'"},
    "withdrawals": {"network": "'test:1'", "status": "'approved'", "decided_by": "'limits'"},
    "reconciliation_differences": {"scope": "'chain'"},
}
MINED = {
    "height": "1",
    "block_id": "'x'",
    "succeeded": "true",
    "fee_minor": "1",
    "confirm_height": "1",
    "mined_at": "now()",
}
SECOND = {"transaction_id": "'y'", "attempt": "2"}
ASSIGNED = {"purpose": "'pooled'", "assigned_at": "now()"}
SIGNED = {"status": "'signed'", "sender": "'x'"}

REFUSED: list[tuple[str, list[Row]]] = [
    ("tenants", [{"tenant": "'Acme'"}]),
    ("tenants", [{"tenant": "'acme:eu'"}]),
    ("tenants", [{"tenant": "repeat('x', 64)"}]),
    ("tenants", [{"status": "'x'"}]),
    ("tenants", [{"name": "repeat('x', 129)"}]),
    ("tenants", [{}, {"tenant": "'y'"}]),
    ("wallet_counter", [{"wallet_index": "-1"}]),
    ("wallet_counter", [{}, {}]),
    ("users", [{"owner": "''"}]),
    ("users", [{"owner": "repeat('x', 129)"}]),
    ("networks", [{"network": "'test'"}]),
    ("networks", [{"confirmations": "0"}]),
    ("networks", [{"finality": "'x'"}]),
    ("assets", [{"asset": "'A:B'"}]),
    ("assets", [{"decimals": "-1"}]),
    ("assets", [{"decimals": "37"}]),
    ("assets", [{"deposit_minor_min": "-1"}]),
    ("assets", [{"withdrawal_minor_min": "0"}]),
    ("assets", [{"withdrawal_fee_minor": "-1"}]),
    ("assets", [{}, {"asset": "'y'"}]),  # two native assets
    ("assets", [{"contract": "'c'"}, {"contract": "'c'", "asset": "'y'"}]),
    ("buckets", [{"kind": "'x'"}]),
    ("buckets", [{"kind": "'liability'", "may_be_negative": "true"}]),
    ("accounts", [{"balance_minor": "-1"}]),
    ("accounts", [{"account_id": "1"}]),
    ("accounts", [{"account_id": "2", "debit_normal": "true", "kind": "'asset'"}]),
    ("accounts", [{"kind": "'asset'"}]),
    ("accounts", [{"kind": "'expense'"}]),
    ("accounts", [{"account_id": "1", "debit_normal": "true"}]),
    ("accounts", [{"frozen_at": "now()"}]),
    ("accounts", [{"frozen_reason": "'x'"}]),
    ("accounts", [{"frozen_at": "now()", "frozen_reason": "repeat('x', 301)"}]),
    ("accounts", [{"frozen_by": "repeat('x', 129)"}]),
    ("accounts", [{"owner": "repeat('x', 129)"}]),
    ("accounts", [{}, {}]),
    ("journal_lines", [{"entry_id": "0"}]),
    ("journal_lines", [{"line": "-1"}]),
    ("journal_lines", [{"idempotency_key": "''"}]),
    ("journal_lines", [{"amount_minor": "0"}]),
    ("journal_lines", [{"credit_account": "1"}]),
    ("journal_lines", [{}, {"entry_id": "2"}]),
    ("key_pool", [{"branch": "2"}]),
    ("addresses", [{"purpose": "'x'"}]),
    ("addresses", [{"label": "repeat('x', 301)"}]),
    ("addresses", [{"owner": "'alice'"}]),
    ("addresses", [{"purpose": "'deposit'"}]),
    ("addresses", [{}, {"address": "'y'", "tenant": "'y'"}]),  # one serial
    ("addresses", [{}, {"address": "'y'", "serial": "2"}]),  # a second hot wallet
    (
        "addresses",
        [
            {"key_path": "'m'"},
            {"key_path": "'m'", "address": "'y'", "serial": "2", "tenant": "'y'"},
        ],
    ),
    ("memos", [{"label": "repeat('x', 301)"}]),
    ("deposits", [{"amount_minor": "0"}]),
    ("deposits", [{"status": "'x'"}]),
    ("deposits", [{"status": "'ignored'"}]),
    ("deposits", [{"status": "'ignored'", "ignored_reason": "'x'"}]),
    ("deposits", [{"purpose": "'pooled'", "assigned_by": "'x'"}]),
    ("deposits", [{"purpose": "'pooled'", "assigned_at": "now()"}]),
    ("deposits", [{"assigned_by": "'x'", "assigned_at": "now()"}]),
    (
        "deposits",
        [{"purpose": "'pooled'", "owner": "''", "assigned_by": "'x'", "assigned_at": "now()"}],
    ),
    ("deposits", [{**ASSIGNED, "assigned_by": "repeat('x', 129)"}]),
    ("deposits", [{}, {"block_id": "'y'"}]),
    ("network_costs", [{"amount_minor": "0"}]),
    ("network_costs", [{"status": "'x'"}]),
    ("network_costs", [{}, {"block_id": "'y'"}]),
    ("master_secrets", [{}, {}]),
    ("withdrawals", [{"owner": "''"}]),
    ("withdrawals", [{"fee_minor": "-1"}]),
    ("withdrawals", [{"decided_by": "repeat('x', 129)"}]),
    ("withdrawals", [{"status": "'x'"}]),
    ("withdrawals", [{"nonce": "1", "coin": "'c'"}]),
    ("withdrawals", [{"nonce": "1", "nonce_released": "true"}]),
    ("withdrawals", [{"status": "'failed'", "reason": "'x'", "nonce_released": "true"}]),
    ("withdrawals", [{"network": "NULL"}]),
    ("withdrawals", [{"amount_minor": "0"}]),
    ("withdrawals", [{"reason": "'x'"}]),
    ("withdrawals", [{"waits_for": "'x'"}]),
    ("withdrawals", [{"waits_for": "'no_quote'", "status": "'awaiting_approval'"}]),
    *(("withdrawals", [{"status": f"'{status}'"}]) for status in ("rejected", "failed")),
    *(
        ("withdrawals", [{"status": f"'{status}'"}])
        for status in ("signed", "broadcast", "confirmed")
    ),
    *(
        ("withdrawals", [{"status": f"'{status}'", "sender": "'x'", "decided_by": "NULL"}])
        for status in ("approved", "signed", "broadcast", "confirmed")
    ),
    ("withdrawals", [{}, {}]),
    (
        "withdrawals",
        [SIGNED | {"nonce": "1"}, SIGNED | {"nonce": "1", "idempotency_key": "'y'"}],
    ),
    (
        "withdrawals",
        [
            SIGNED | {"coin": "'c'"},
            SIGNED | {"coin": "'c'", "sender": "'y'", "idempotency_key": "'y'"},
        ],
    ),
    ("foreign_transactions", [{}, {"address": "'y'"}]),
    ("nonces", [{"next_nonce": "-1"}]),
    ("nonces", [{"chain_nonce": "-1"}]),
    ("transactions", [{"attempt": "-1"}]),
    ("transactions", [{"fee_minor_max": "-1"}]),
    ("transactions", [{"state": "'x'"}]),
    ("transactions", [{"last_outcome": "'x'"}]),
    ("transactions", [{"coin": "'c'", "coins": "'{d}'"}]),
    ("transactions", [{"state": "'expired'"}]),
    *(("transactions", [{"state": "'mined'"} | MINED | {column: "NULL"}]) for column in MINED),
    *(("transactions", [{column: value}]) for column, value in MINED.items()),
    ("transactions", [{"nonce": "1"}, {"nonce": "1", "transaction_id": "'y'"}]),
    (
        "transactions",
        [
            {"nonce": "1", "state": "'mined'"} | MINED,
            {"nonce": "1", "state": "'mined'"} | MINED | SECOND,
        ],
    ),
    *(("transactions", [{"state": f"'{state}'"}, SECOND]) for state in ("signed", "broadcast")),
    ("transactions", [{"state": "'mined'"} | MINED, SECOND]),
    ("events", [{"event_id": "repeat('x', 65)"}]),
    ("endpoints", [{"url": "repeat('x', 2049)"}]),
    ("endpoints", [{"disabled_at": "now()"}]),
    ("endpoints", [{"disabled_reason": "'gone'"}]),
    ("endpoints", [{"disabled_at": "now()", "disabled_reason": "'x'"}]),
    ("endpoints", [{"previous_secret": "''"}]),
    ("endpoints", [{"previous_secret_until": "now()"}]),
    ("deliveries", [{"state": "'x'"}]),
    ("deliveries", [{}, {}]),
    ("delivery_attempts", [{"error": "repeat('x', 501)"}]),
    ("delivery_attempts", [{"response": "repeat('x', 1025)"}]),
    ("reconciliations", [{"network": "'test:1'"}]),
    ("reconciliation_differences", [{"scope": "'x'"}]),
]

NAMES = """
SELECT c.conname FROM pg_constraint AS c
WHERE
    c.connamespace = 'public'::regnamespace
    AND c.contype IN ('c', 'u')
    AND c.conrelid <> 0 -- a table's, not a domain's
    -- What holds the whole primary key is there to be referred to, and can refuse nothing.
    AND NOT EXISTS (
        SELECT FROM pg_constraint AS p
        WHERE p.conrelid = c.conrelid AND p.contype = 'p' AND p.conkey <@ c.conkey
        AND c.contype = 'u'
    )
UNION ALL
SELECT i.indexrelid::regclass::text FROM pg_index AS i
WHERE
    i.indisunique
    AND i.indrelid IN (SELECT oid FROM pg_class WHERE relnamespace = 'public'::regnamespace)
    AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = i.indexrelid)
"""

NEEDED = """
SELECT column_name, data_type FROM information_schema.columns
WHERE table_name = $1 AND is_nullable = 'NO' AND column_default IS NULL AND is_identity = 'NO'
"""

AMOUNTS = """
SELECT c.table_name, c.column_name
FROM information_schema.columns AS c
JOIN information_schema.tables AS t USING (table_schema, table_name)
WHERE c.table_schema = 'public' AND t.table_type = 'BASE TABLE' AND c.data_type = 'numeric'
"""


@pytest.fixture
async def conn(pool: Pool) -> AsyncIterator[Connection]:
    """A transaction that ends in nothing, in which no trigger and no foreign key speaks."""
    async with pool.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        await connection.execute("SET LOCAL session_replication_role = replica")
        await connection.execute("DELETE FROM wallet_counter")
        yield connection
        await transaction.rollback()


async def insert(conn: Connection, table: str, changes: Row) -> None:
    needed = {name: _plain(kind) for name, kind in await conn.fetch(NEEDED, table)}
    row = needed | ACCEPTED.get(table, {}) | changes
    await conn.execute(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({', '.join(row.values())})")


def _plain(kind: str) -> str:
    return "now()" if kind.startswith("timestamp") else PLAIN.get(kind, "1")


async def refusal_of(conn: Connection, table: str, rows: list[Row]) -> str:
    """Insert rows of which the last one is refused; return by which constraint."""
    *before, last = rows
    for row in before:
        await insert(conn, table, row)
    with pytest.raises(asyncpg.IntegrityConstraintViolationError) as refused:
        async with conn.transaction():
            await insert(conn, table, last)
    return str(refused.value.constraint_name)


@pytest.mark.parametrize(("table", "rows"), REFUSED)
async def test_the_table_refuses_the_row(conn: Connection, table: str, rows: list[Row]) -> None:
    assert (await refusal_of(conn, table, rows)).startswith(table)


@pytest.mark.parametrize("table", sorted({table for table, _ in REFUSED}))
async def test_but_for_the_change_the_row_is_accepted(conn: Connection, table: str) -> None:
    await insert(conn, table, {})


async def test_every_amount_is_a_number(conn: Connection) -> None:
    """NaN is more than 0 and more than any limit, and every sum of it is NaN."""
    amounts = await conn.fetch(AMOUNTS)
    refusals = [await refusal_of(conn, table, [{column: "'NaN'"}]) for table, column in amounts]
    assert refusals == ["minor_units_check"] * 18


async def test_no_constraint_is_there_that_refuses_nothing(conn: Connection) -> None:
    refusing = set()
    for table, rows in REFUSED:
        savepoint = conn.transaction()
        await savepoint.start()
        refusing.add(await refusal_of(conn, table, rows))
        await savepoint.rollback()
    assert {row["conname"] for row in await conn.fetch(NAMES)} - refusing == set()
