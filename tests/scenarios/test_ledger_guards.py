"""What the database refuses, whoever connects: here the owner of the tables, a superuser."""

from __future__ import annotations

import asyncpg
import pytest

import sql.ledger as tables
from ledger.chart import BUCKETS
from ledger.entries import AccountRef
from ledger.post import post
from sql.pool import Connection, Pool
from tests.support.ledger import deposit, open_tenant, user

REFUSED = (
    asyncpg.IntegrityConstraintViolationError,  # our guards, CHECKs, NOT NULLs and unique keys
    asyncpg.InsufficientPrivilegeError,
)

LINE = """
INSERT INTO journal_lines (
    entry_id, line, debit_account, credit_account, tenant, asset, kind, idempotency_key,
    amount_minor, debit_balance_after, credit_balance_after, reference_type, reference_id
) VALUES
"""

HOSTILE = {
    "change_an_amount": "UPDATE journal_lines SET amount_minor = amount_minor + 1",
    "change_no_line_at_all": "UPDATE journal_lines SET kind = 'X' WHERE false",
    "change_a_key_by_upsert": LINE
    + """(1, 0, {wallets}, {alice}, '{tenant}', 'ETH', 'X', 'k', 1, 101, 101, '', '')
    ON CONFLICT (entry_id, line) DO UPDATE SET kind = 'X'""",
    "delete_history": "DELETE FROM journal_lines",
    "delete_an_entry_by_using": "DELETE FROM journal_lines AS l USING accounts WHERE l.line = 0",
    "truncate_history": "TRUNCATE journal_lines",
    "truncate_accounts": "TRUNCATE accounts CASCADE",
    "truncate_tenants_above_it": "TRUNCATE tenants CASCADE",
    "delete_an_account": "DELETE FROM accounts WHERE account_id = {alice}",
    "set_a_balance": "UPDATE accounts SET balance_minor = 1000 WHERE account_id = {alice}",
    "set_a_balance_to_nothing": "UPDATE accounts SET balance_minor = 0",
    "set_a_negative_balance": "UPDATE accounts SET balance_minor = -1 WHERE account_id = {alice}",
    "set_a_balance_back_to_an_older_line": """UPDATE accounts
    SET balance_minor = 60, last_entry_id = {first}, last_line = 0 WHERE account_id = {alice}""",
    "set_the_balance_of_a_wallet": """UPDATE accounts
    SET balance_minor = 1000 WHERE account_id = {wallets}""",
    "set_a_balance_by_a_line_that_is_not_there": """UPDATE accounts
    SET balance_minor = 1000, last_entry_id = {new} WHERE account_id = {alice}""",
    "set_a_balance_by_anothers_line": """UPDATE accounts
    SET balance_minor = 1000, last_entry_id = {foreign_entry} WHERE account_id = {alice}""",
    "set_a_balance_through_a_trigger_of_ones_own": """
    CREATE TEMP TABLE bait (n integer);
    CREATE FUNCTION pg_temp.bite() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN UPDATE accounts SET balance_minor = 1000 WHERE account_id = {alice}; RETURN NULL; END $$;
    CREATE TRIGGER bite AFTER INSERT ON bait EXECUTE FUNCTION pg_temp.bite();
    INSERT INTO bait VALUES (1)""",
    "open_a_rich_account": """INSERT INTO accounts (tenant, owner, asset, bucket, balance_minor)
    VALUES ('{tenant}', 'eve', 'ETH', 'available', 5)""",
    "open_an_account_in_the_future": """INSERT INTO accounts (tenant, owner, asset, bucket,
    last_entry_id) VALUES ('{tenant}', 'eve', 'ETH', 'available', 1)""",
    "open_an_account_in_the_middle_of_an_entry": """INSERT INTO accounts (tenant, owner, asset,
    bucket, last_line) VALUES ('{tenant}', 'eve', 'ETH', 'available', 1)""",
    "open_an_account_of_an_unknown_bucket": """INSERT INTO accounts (tenant, owner, asset, bucket)
    VALUES ('{tenant}', 'eve', 'ETH', 'secret')""",
    "open_a_tenants_wallet_for_a_user": """INSERT INTO accounts (tenant, owner, asset, bucket)
    VALUES ('{tenant}', 'eve', 'ETH', 'hot_wallet')""",
    "open_an_account_twice": """INSERT INTO accounts (tenant, owner, asset, bucket)
    VALUES ('{tenant}', 'alice', 'ETH', 'available')""",
    "give_an_account_to_another_owner": "UPDATE accounts SET owner = 'eve' WHERE owner = 'alice'",
    "turn_a_debt_into_an_asset": "UPDATE accounts SET kind = 'asset' WHERE account_id = {alice}",
    "let_an_account_go_negative": "UPDATE accounts SET may_be_negative = true",
    "let_a_bucket_go_negative": "UPDATE buckets SET may_be_negative = true WHERE kind = 'asset'",
    "delete_a_bucket": "DELETE FROM buckets",
    "delete_the_tenant": "DELETE FROM tenants WHERE tenant = '{tenant}'",
    "delete_the_asset": "DELETE FROM assets WHERE asset = 'ETH'",
    "leap_ahead_of_the_balance": LINE
    + "({new}, 0, {wallets}, {alice}, '{tenant}', 'ETH', 'X', 'k', 1, 500, 500, '', '')",
    "lie_about_a_balance_in_between": LINE
    + """({new}, 0, {wallets}, {alice}, '{tenant}', 'ETH', 'X', 'k', 1, 105, 105, '', ''),
    ({new}, 1, {wallets}, {alice}, '{tenant}', 'ETH', 'X', 'k', 1, 102, 102, '', '')""",
    "lie_about_a_balance_before_and_after": LINE
    + """({new}, 0, {wallets}, {alice}, '{tenant}', 'ETH', 'X', 'k', 1, 111, 111, '', ''),
    ({new}, 1, {wallets}, {alice}, '{tenant}', 'ETH', 'X', 'k', 1, 112, 112, '', '')""",
    "lie_about_two_balances_that_fit_each_other": LINE
    + """({new}, 0, {wallets}, {alice}, '{tenant}', 'ETH', 'X', 'k', 1, 500, 500, '', ''),
    ({new}, 1, {wallets}, {alice}, '{tenant}', 'ETH', 'X', 'k', 1, 501, 501, '', ''),
    ({new}, 2, {wallets}, {alice}, '{tenant}', 'ETH', 'X', 'k', 1, 103, 103, '', '')""",
    "credit_without_debit": LINE
    + "({new}, 0, {wallets}, {alice}, '{tenant}', 'ETH', 'X', 'k', 1, 100, 101, '', '')",
    "overdraw": LINE
    + "({new}, 0, {alice}, {wallets}, '{tenant}', 'ETH', 'X', 'k', 101, -1, -1, '', '')",
    "overdraw_for_a_moment": LINE
    + """({new}, 0, {alice}, {wallets}, '{tenant}', 'ETH', 'X', 'k', 101, -1, -1, '', ''),
    ({new}, 1, {wallets}, {alice}, '{tenant}', 'ETH', 'X', 'k', 101, 100, 100, '', '')""",
    "move_nothing": LINE
    + "({new}, 0, {wallets}, {alice}, '{tenant}', 'ETH', 'X', 'k', 0, 100, 100, '', '')",
    "move_a_negative_amount": LINE
    + "({new}, 0, {wallets}, {alice}, '{tenant}', 'ETH', 'X', 'k', -1, 99, 99, '', '')",
    "debit_and_credit_one_account": LINE
    + "({new}, 0, {alice}, {alice}, '{tenant}', 'ETH', 'X', 'k', 1, 99, 100, '', '')",
    "credit_another_tenants_user": LINE
    + "({new}, 0, {wallets}, {foreign}, '{tenant}', 'ETH', 'X', 'k', 1, 101, 8, '', '')",
    "post_in_another_tenants_name": LINE
    + "({new}, 0, {wallets}, {alice}, '{other}', 'ETH', 'X', 'k', 1, 101, 101, '', '')",
    "turn_one_asset_into_another": LINE
    + "({new}, 0, {wallets}, {dollars}, '{tenant}', 'ETH', 'X', 'k', 1, 101, 1, '', '')",
    "post_to_no_account": LINE
    + "({new}, 0, {wallets}, 17, '{tenant}', 'ETH', 'X', 'k', 1, 101, 1, '', '')",
    "post_between_no_accounts": LINE
    + "({new}, 0, 17, 18, '{tenant}', 'ETH', 'X', 'k', 1, 1, 1, '', '')",
    "post_once_in_the_own_and_once_in_another_name": LINE
    + """({new}, 0, {wallets}, {alice}, '{tenant}', 'ETH', 'X', 'k', 1, 101, 101, '', ''),
    ({new} + 1, 0, {wallets}, {alice}, '{other}', 'ETH', 'X', 'k', 1, 102, 102, '', '')""",
    "post_once_in_the_own_and_once_in_a_name_before_it": LINE
    + """({new}, 0, {foreign_wallets}, {foreign}, '{other}', 'ETH', 'X', 'k', 1, 8, 8, '', ''),
    ({new} + 1, 0, {foreign_wallets}, {foreign}, '{tenant}', 'ETH', 'X', 'k', 1, 9, 9, '', '')""",
    "post_once_in_the_own_and_once_in_another_asset": LINE
    + """({new}, 0, {wallets}, {alice}, '{tenant}', 'ETH', 'X', 'k', 1, 101, 101, '', ''),
    ({new} + 1, 0, {wallets}, {alice}, '{tenant}', 'USDT', 'X', 'l', 1, 102, 102, '', '')""",
    "post_once_in_the_own_and_once_in_an_asset_before_it": LINE
    + """({new}, 0, {safe}, {dollars}, '{tenant}', 'USDT', 'X', 'k', 1, 1, 1, '', ''),
    ({new} + 1, 0, {safe}, {dollars}, '{tenant}', 'ETH', 'X', 'l', 1, 2, 2, '', '')""",
    "post_a_key_twice": LINE
    + """({new}, 0, {wallets}, {alice}, '{tenant}', 'ETH', 'X', 'deposit:1:credit:0', 1, 101, 101,
    '', '')""",
    "append_to_an_old_entry": LINE
    + "({first}, 1, {wallets}, {alice}, '{tenant}', 'ETH', 'X', 'k', 1, 101, 101, '', '')",
    "hide_a_key_in_a_second_line": LINE
    + "({new}, 1, {wallets}, {alice}, '{tenant}', 'ETH', 'X', 'k', 1, 101, 101, '', '')",
    "post_lines_with_different_keys": LINE
    + """({new}, 0, {wallets}, {alice}, '{tenant}', 'ETH', 'X', 'k', 1, 101, 101, '', ''),
    ({new}, 1, {wallets}, {alice}, '{tenant}', 'ETH', 'X', 'l', 1, 102, 102, '', '')""",
    "post_lines_of_different_kinds": LINE
    + """({new}, 0, {wallets}, {alice}, '{tenant}', 'ETH', 'X', 'k', 1, 101, 101, '', ''),
    ({new}, 1, {wallets}, {alice}, '{tenant}', 'ETH', 'Y', 'k', 1, 102, 102, '', '')""",
    "leave_a_line_out": LINE
    + """({new}, 0, {wallets}, {alice}, '{tenant}', 'ETH', 'X', 'k', 1, 101, 101, '', ''),
    ({new}, 2, {wallets}, {alice}, '{tenant}', 'ETH', 'X', 'k', 1, 102, 102, '', '')""",
    "insert_before_history": LINE
    + "(-5, 0, {wallets}, {alice}, '{tenant}', 'ETH', 'X', 'k', 1, 101, 101, '', '')",
    "skip_the_triggers_as_a_worker": """SET LOCAL ROLE millrace_app;
    SET LOCAL session_replication_role = replica""",
    "set_a_balance_as_a_worker": """SET LOCAL ROLE millrace_app;
    UPDATE accounts SET balance_minor = 1""",
    "drop_a_guard_as_a_worker": """SET LOCAL ROLE millrace_app;
    ALTER TABLE journal_lines DISABLE TRIGGER ALL""",
    "delete_history_as_a_worker": "SET LOCAL ROLE millrace_app; DELETE FROM journal_lines",
}


@pytest.fixture(scope="module")
async def names(pool: Pool) -> dict[str, object]:
    """Alice has 60 + 40 ETH, somebody of another tenant 7."""
    async with pool.acquire() as conn:
        tenant, other = sorted([await open_tenant(conn), await open_tenant(conn)])
        async with conn.transaction():
            results = await post(
                conn,
                [
                    deposit(tenant, "alice", 60, 1),
                    deposit(tenant, "alice", 40, 2),
                    deposit(other, "mallory", 7, 1),
                ],
            )
        await tables.open_accounts(
            conn,
            [tenant, tenant],
            ["alice", ""],
            ["USDT", "USDT"],
            ["available", "deposit_wallets"],
        )
        rows = await conn.fetch("SELECT account_id, tenant, owner, asset FROM accounts")
    ids = {(row["tenant"], row["owner"], row["asset"]): row["account_id"] for row in rows}
    return {
        "tenant": tenant,
        "other": other,
        "wallets": ids[tenant, "", "ETH"],
        "alice": ids[tenant, "alice", "ETH"],
        "dollars": ids[tenant, "alice", "USDT"],
        "safe": ids[tenant, "", "USDT"],
        "foreign": ids[other, "mallory", "ETH"],
        "foreign_wallets": ids[other, "", "ETH"],
        "first": results[0].entry_id,
        "foreign_entry": results[2].entry_id,
        "new": 10**9,
    }


async def snapshot(conn: Connection) -> list[object]:
    return [
        *await conn.fetch("SELECT * FROM accounts ORDER BY account_id"),
        *await conn.fetch("SELECT * FROM journal_lines ORDER BY entry_id, line"),
        *await conn.fetch("SELECT * FROM buckets ORDER BY bucket"),
    ]


@pytest.mark.parametrize("act", HOSTILE)
async def test_the_database_refuses_to(pool: Pool, names: dict[str, object], act: str) -> None:
    statement = HOSTILE[act]
    for name, value in names.items():
        statement = statement.replace(f"{{{name}}}", str(value))
    async with pool.acquire() as conn:
        before = await snapshot(conn)
        with pytest.raises(REFUSED):
            async with conn.transaction():
                await conn.execute(statement)
        assert await snapshot(conn) == before


async def test_a_fitting_line_is_taken_so_that_the_refusals_mean_something(
    pool: Pool, names: dict[str, object]
) -> None:
    statement = (
        LINE + "({new}, 0, {wallets}, {alice}, '{tenant}', 'ETH', 'X', 'k', 1, 101, 101, '', '')"
    )
    async with pool.acquire() as conn:
        transaction = conn.transaction()
        await transaction.start()
        await conn.execute(statement.format(**names))
        alice = await conn.fetchval(
            "SELECT balance_minor FROM accounts WHERE account_id = $1", names["alice"]
        )
        await transaction.rollback()
    assert alice == 101


async def test_a_worker_may_post_and_freeze_with_its_role_alone(pool: Pool) -> None:
    async with pool.acquire() as conn:
        tenant = await open_tenant(conn)
        async with conn.transaction():
            await conn.execute("SET LOCAL ROLE millrace_app")
            await post(conn, [deposit(tenant, "alice", 5, 1)])
            await tables.freeze_account(conn, tenant, "alice", asset="ETH", reason="court order")
        assert await tables.fetch_account_balance(
            conn, tenant, "alice", asset="ETH", bucket="available"
        )


async def test_the_chart_is_the_same_in_the_database(pool: Pool) -> None:
    async with pool.acquire() as conn:
        rows = await conn.fetch("SELECT bucket, kind, of_user, may_be_negative FROM buckets")
    assert {row["bucket"]: tuple(row)[1:] for row in rows} == {
        name: (bucket.kind.value, bucket.of_user, bucket.may_be_negative)
        for name, bucket in BUCKETS.items()
    }


async def test_verification_names_an_account_changed_behind_the_guards(pool: Pool) -> None:
    async with pool.acquire() as conn:
        tenant = await open_tenant(conn)
        async with conn.transaction():
            await post(conn, [deposit(tenant, "alice", 100, 1)])
        transaction = conn.transaction()
        await transaction.start()
        await conn.execute("SET LOCAL session_replication_role = replica")
        await conn.execute(
            "UPDATE accounts SET balance_minor = 99 WHERE tenant = $1 AND owner = 'alice'", tenant
        )
        wrong = await tables.verify_ledger(conn)
        imbalances = await tables.fetch_imbalances(conn)
        await transaction.rollback()
        assert await tables.verify_ledger(conn) == []
    assert [(w.owner, w.bucket, w.balance_minor, w.journal_minor) for w in wrong] == [
        ("alice", "available", 99, 100)
    ]
    assert imbalances == [(tenant, "ETH", 1)]


async def test_verification_finds_a_line_changed_behind_the_guards(pool: Pool) -> None:
    async with pool.acquire() as conn:
        tenant = await open_tenant(conn)
        async with conn.transaction():
            await post(conn, [deposit(tenant, "alice", 100, 1), deposit(tenant, "alice", 1, 2)])
        transaction = conn.transaction()
        await transaction.start()
        await conn.execute("SET LOCAL session_replication_role = replica")
        await conn.execute(
            "UPDATE journal_lines SET amount_minor = 50 WHERE tenant = $1 AND amount_minor = 100",
            tenant,
        )
        wrong = await tables.verify_ledger(conn)
        postings = await tables.verify_running_balances(conn)
        await transaction.rollback()
    assert {(w.balance_minor, w.journal_minor) for w in wrong} == {(101, 51)}
    assert len(postings) == 2


async def test_an_account_code_is_unique_within_its_tenant(pool: Pool) -> None:
    async with pool.acquire() as conn:
        doubles = await conn.fetch(
            "SELECT tenant, code FROM account_codes GROUP BY tenant, code HAVING count(*) > 1"
        )
        code = await conn.fetchval(
            "SELECT code FROM account_codes WHERE owner = 'mallory' AND bucket = 'available'"
        )
    assert doubles == []
    assert code == f"ETH:available:{user('', 'mallory', 'available').owner}"


async def test_names_of_accounts_hold_no_more_than_they_should(pool: Pool) -> None:
    async with pool.acquire() as conn:
        tenant = await open_tenant(conn)
        ref = AccountRef(tenant, "x" * 129, "ETH", "available")
        with pytest.raises(asyncpg.CheckViolationError):
            await tables.open_accounts(conn, [tenant], [ref.owner], ["ETH"], ["available"])
