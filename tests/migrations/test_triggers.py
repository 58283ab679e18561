"""What never changes, in what steps the rest changes, and that nobody gets round that."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator

import asyncpg
import pytest

from sql.pool import Connection, Pool

PERMANENT = {
    "accounts": "account_id tenant owner asset bucket kind debit_normal may_be_negative",
    "addresses": "network address serial tenant owner purpose key_path",
    "buckets": "bucket kind of_user may_be_negative meaning",
    "deposits": "deposit_id network transaction_id transfer_index",
    "foreign_transactions": "foreign_id network transaction_id address height",
    "journal_lines": "entry_id line debit_account credit_account created_at tenant asset kind"
    " idempotency_key amount_minor debit_balance_after credit_balance_after reference_type"
    " reference_id metadata",
    "key_pool": "network branch key_index key_path public_key",
    "memos": "network address memo tenant owner",
    "transactions": "network transaction_id withdrawal_id sender nonce coin coins valid_until"
    " attempt unsigned raw fee_minor_max created_at",
}
"""Columns that are written once; no row of these tables is ever deleted."""


@pytest.fixture
async def conn(pool: Pool) -> AsyncIterator[Connection]:
    """A transaction that ends in nothing, with a tenant, a network and its coin."""
    async with pool.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        await connection.execute("INSERT INTO tenants (tenant, name) VALUES ('t', 't')")
        await connection.execute(
            "INSERT INTO networks (network, kind, native_asset, confirmations)"
            " VALUES ('test:1', 'simulated', 'COIN', 1)"
        )
        await connection.execute(
            "INSERT INTO assets (asset, network, decimals) VALUES ('COIN', 'test:1', 18)"
        )
        yield connection
        await transaction.rollback()


@pytest.mark.parametrize(
    ("table", "column"), [(t, column) for t, names in PERMANENT.items() for column in names.split()]
)
async def test_whose_money_it_is_and_what_was_signed_never_changes(
    conn: Connection, table: str, column: str
) -> None:
    identities = ("deposit_id", "foreign_id")
    same = "DEFAULT" if column in identities else column  # all that an identity may be set to
    with pytest.raises(asyncpg.IntegrityConstraintViolationError, match=f"UPDATE of {table}"):
        await conn.execute(f"UPDATE {table} SET {column} = {same}")


@pytest.mark.parametrize("table", PERMANENT)
async def test_none_of_it_is_deleted(conn: Connection, table: str) -> None:
    with pytest.raises(asyncpg.IntegrityConstraintViolationError, match=f"DELETE of {table}"):
        await conn.execute(f"DELETE FROM {table}")


@pytest.mark.parametrize("table", ["withdrawals", *PERMANENT])
async def test_no_table_of_it_is_emptied(conn: Connection, table: str) -> None:
    with pytest.raises(asyncpg.IntegrityConstraintViolationError, match=f"TRUNCATE of {table}"):
        await conn.execute(f"TRUNCATE {table} CASCADE")


# Withdrawals -----------------------------------------------------------------------------------

STEPS = {
    "requested": "awaiting_approval approved rejected",
    "awaiting_approval": "approved rejected",
    "approved": "signed failed",
    "signed": "broadcast confirmed failed",
    "broadcast": "confirmed failed",
    "confirmed": "broadcast",  # its block left the chain
    "failed": "broadcast",  # the same, or its payment is in a block after all
    "rejected": "",
}
BEFORE_SIGNING = ("requested", "awaiting_approval", "approved", "rejected")


async def withdraw(conn: Connection, status: str, *, sent: bool) -> None:
    """Write a withdrawal in some state, behind the guards."""
    await conn.execute("SET LOCAL session_replication_role = replica")
    await conn.execute(
        "INSERT INTO withdrawals (tenant, idempotency_key, request_hash, owner, asset, network,"
        " address, amount_minor, fee_minor, updated_at, status, reason, decided_by, sender, nonce)"
        " VALUES ('t', 'k', '', 'alice', 'COIN', 'test:1', 'x', 5, 1, 'epoch', $1,"
        " CASE WHEN $1 IN ('rejected', 'failed') THEN 'r' END, 'limits',"
        " CASE WHEN $2 THEN 'wallet' END, CASE WHEN $2 THEN 7 END)",
        status,
        sent,
    )
    await conn.execute("SET LOCAL session_replication_role = origin")


async def move(conn: Connection, status: str) -> None:
    await conn.execute(
        "UPDATE withdrawals SET status = $1,"
        " reason = CASE WHEN $1 IN ('rejected', 'failed') THEN 'r' END,"
        " sender = coalesce(sender, CASE WHEN $1 = 'signed' THEN 'wallet' END)",
        status,
    )


@pytest.mark.parametrize(("old", "new"), list(itertools.permutations(STEPS, 2)))
async def test_a_withdrawal_takes_these_steps_and_no_others(
    conn: Connection, old: str, new: str
) -> None:
    await withdraw(conn, old, sent=old not in BEFORE_SIGNING)
    if new in STEPS[old].split():
        await move(conn, new)
        assert await conn.fetchval("SELECT updated_at = now() FROM withdrawals")
        return
    with pytest.raises(asyncpg.CheckViolationError, match=f"cannot go from {old} to {new}"):
        await move(conn, new)


async def test_what_failed_unsigned_or_gave_its_nonce_back_is_never_opened_again(
    conn: Connection,
) -> None:
    await withdraw(conn, "failed", sent=False)
    with pytest.raises(asyncpg.CheckViolationError, match="cannot go"):
        async with conn.transaction():
            await move(conn, "broadcast")
    await conn.execute("SET LOCAL session_replication_role = replica")
    await conn.execute("UPDATE withdrawals SET sender = 'w', nonce = 7, nonce_released = true")
    await conn.execute("SET LOCAL session_replication_role = origin")
    with pytest.raises(asyncpg.CheckViolationError, match="cannot go"):
        await conn.execute(
            "UPDATE withdrawals SET status = 'broadcast', reason = NULL, nonce_released = true"
        )


@pytest.mark.parametrize(
    "change",
    [
        "tenant = 'other'",
        "idempotency_key = 'other'",
        "request_hash = 'other'",
        "owner = 'mallory'",
        "asset = 'OTHER'",
        "network = 'test:2'",
        "address = 'other'",
        "memo = 'other'",
        "amount_minor = 6",
        "fee_minor = 0",
        "created_at = now() - interval '1 day'",
    ],
)
async def test_what_was_ordered_never_changes(conn: Connection, change: str) -> None:
    await withdraw(conn, "requested", sent=False)
    with pytest.raises(asyncpg.CheckViolationError, match="an order does not change"):
        await conn.execute(f"UPDATE withdrawals SET {change}")


@pytest.mark.parametrize(
    ("state", "change"),
    [
        ("nonce = 7", "sender = 'other'"),
        ("nonce = 7", "nonce = 8"),
        ("nonce = 7", "nonce = NULL"),
        ("nonce = NULL, coin = 'c'", "coin = 'd'"),
        ("nonce = NULL, coin = 'c'", "coin = NULL"),
        ("nonce = NULL", "coin = 'c'"),
    ],
)
async def test_what_keeps_its_transactions_apart_is_set_once(
    conn: Connection, state: str, change: str
) -> None:
    await withdraw(conn, "signed", sent=True)
    await conn.execute("SET LOCAL session_replication_role = replica")
    await conn.execute(f"UPDATE withdrawals SET {state}")
    await conn.execute("SET LOCAL session_replication_role = origin")
    with pytest.raises(asyncpg.CheckViolationError, match="set once"):
        await conn.execute(f"UPDATE withdrawals SET {change}")


async def test_a_nonce_is_set_by_signing_alone_and_given_back_for_good(conn: Connection) -> None:
    await withdraw(conn, "approved", sent=False)
    for step in ("", ", status = 'failed', reason = 'r'"):
        with pytest.raises(asyncpg.CheckViolationError, match="set by signing"):
            async with conn.transaction():
                await conn.execute(f"UPDATE withdrawals SET sender = 'w', nonce = 7{step}")
    await conn.execute("UPDATE withdrawals SET status = 'signed', sender = 'w', nonce = 7")
    await move(conn, "failed")
    await conn.execute("UPDATE withdrawals SET nonce_released = true")
    with pytest.raises(asyncpg.CheckViolationError, match="not taken back"):
        await conn.execute("UPDATE withdrawals SET nonce_released = false")


@pytest.mark.parametrize("columns", ["status, decided_by", "status, decided_by, sender"])
async def test_an_order_begins_as_a_request_and_unsigned(conn: Connection, columns: str) -> None:
    values = {
        "status, decided_by": "'approved', 'limits'",
        "status, decided_by, sender": "'requested', NULL, 'wallet'",
    }
    with pytest.raises(asyncpg.CheckViolationError, match="begins as requested"):
        await conn.execute(
            "INSERT INTO withdrawals (tenant, idempotency_key, request_hash, owner, asset, network,"
            f" address, amount_minor, fee_minor, {columns})"
            f" VALUES ('t', 'k', '', 'alice', 'COIN', 'test:1', 'x', 5, 1, {values[columns]})"
        )


async def test_a_withdrawal_is_never_deleted(conn: Connection) -> None:
    await withdraw(conn, "rejected", sent=False)
    with pytest.raises(asyncpg.CheckViolationError, match="never deleted"):
        await conn.execute("DELETE FROM withdrawals")


# Deposits --------------------------------------------------------------------------------------

ASSIGN = "owner = 'alice', assigned_by = 'operator', assigned_at = now()"


async def deposit(conn: Connection, changes: str) -> None:
    """Write a confirmed deposit of nobody known, changed behind the guards."""
    await conn.execute(
        "INSERT INTO deposits (network, transaction_id, transfer_index, tenant, owner, purpose,"
        " address, asset, amount_minor, height, block_id, status, confirm_height)"
        " VALUES ('test:1', 'x', '0', 't', '', 'pooled', 'a', 'COIN', 5, 1, 'b', 'confirmed', 1)"
    )
    await conn.execute("SET LOCAL session_replication_role = replica")
    await conn.execute(f"UPDATE deposits SET {changes}")
    await conn.execute("SET LOCAL session_replication_role = origin")


@pytest.mark.parametrize(
    ("state", "change"),
    [
        ("status = 'detected'", ASSIGN),
        ("status = 'orphaned'", ASSIGN),
        ("status = 'orphaned'", f"{ASSIGN}, status = 'confirmed'"),
        ("status = 'confirmed'", f"{ASSIGN}, status = 'detected'"),
        ("status = 'confirmed'", f"{ASSIGN}, revision = 1"),
        ("status = 'ignored', ignored_reason = 'below_minimum'", ASSIGN),
        ("purpose = 'hot'", f"{ASSIGN}, purpose = 'pooled'"),
        ("owner = 'bob'", ASSIGN),
        ("status = 'confirmed'", "owner = 'alice'"),
        ("status = 'confirmed'", "owner = 'alice', revision = 1"),
        ("status = 'confirmed'", "tenant = 'other'"),
        ("status = 'orphaned'", "owner = 'alice'"),
        ("status = 'orphaned'", "tenant = 'other'"),
        ("status = 'orphaned', revision = 2", "owner = 'alice', revision = 1"),
        (f"status = 'orphaned', {ASSIGN}", "owner = 'bob', revision = 1"),
        (f"status = 'orphaned', {ASSIGN}", "assigned_by = 'other', revision = 1"),
        (
            f"status = 'orphaned', {ASSIGN}",
            "owner = '', assigned_by = NULL, assigned_at = NULL, revision = 1",
        ),
    ],
)
async def test_an_owner_is_not_changed(conn: Connection, state: str, change: str) -> None:
    await deposit(conn, state)
    with pytest.raises(asyncpg.CheckViolationError, match=r"assigned|does not change"):
        await conn.execute(f"UPDATE deposits SET {change}")


@pytest.mark.parametrize(
    ("state", "change"),
    [
        ("status = 'confirmed'", ASSIGN),
        ("status = 'orphaned'", "owner = 'alice', tenant = 'other', revision = 1"),
    ],
)
async def test_but_by_an_operator_once_or_as_it_starts_anew(
    conn: Connection, state: str, change: str
) -> None:
    await deposit(conn, state)
    await conn.execute(f"UPDATE deposits SET {change}")
