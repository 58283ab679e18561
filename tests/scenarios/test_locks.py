"""What a query says it keeps as it is stays so until its transaction ends: whoever comes waits."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from uuid import UUID

import pytest

from sql import (
    addresses,
    chain,
    deposits,
    facts,
    ledger,
    notifications,
    rescan,
    stream,
    transactions,
    wallets,
    withdrawals,
)
from sql.notifications import EventRow
from sql.pool import Connection, Pool
from tests.support.races import until_blocked

HOLDER = UUID(int=1)
ROWS = """
SET LOCAL session_replication_role = replica;
INSERT INTO tenants (tenant, name, wallet_index) VALUES ('t', 't', 1);
INSERT INTO inbox (cluster_id, stage, topic, partition, next_offset)
VALUES ('cluster', 'match_deposits', 'blocks', 0, 0);
INSERT INTO endpoints (endpoint_id, tenant, url, secret, created_at)
VALUES ('endpoint', 't', '', '', now());
INSERT INTO events (event_id, tenant, type, payload, created_at)
VALUES ('kept', 't', 'x', '', now());
INSERT INTO leases (name, holder, expires_at)
VALUES ('lease', '00000000-0000-0000-0000-000000000001', now() + interval '1 hour');
INSERT INTO cursors (network, height, node_height) VALUES ('net:1', 9, 9);
INSERT INTO blocks (network, height, block_id, parent_id, clock) VALUES ('net:1', 9, 'b', 'a', 9);
INSERT INTO address_counters (network) VALUES ('net:1');
INSERT INTO nonces (network, sender, next_nonce) VALUES ('net:1', 'wallet', 1);
INSERT INTO accounts (account_id, tenant, owner, asset, bucket, kind, debit_normal, may_be_negative)
VALUES (2, 't', 'alice', 'COIN', 'available', 'liability', false, false);
INSERT INTO deposits (deposit_id, network, transaction_id, transfer_index, tenant, owner, purpose,
address, asset, amount_minor, height, block_id, status, confirm_height) OVERRIDING SYSTEM VALUE
VALUES (1, 'net:1', 'in', '0', 't', 'alice', 'deposit', 'a', 'COIN', 5, 9, 'b', 'confirmed', 9);
INSERT INTO network_costs (cost_id, network, transaction_id, tenant, purpose, address, asset,
amount_minor, height, block_id, status, confirm_height) OVERRIDING SYSTEM VALUE
VALUES (1, 'net:1', 'in', 't', 'deposit', 'a', 'COIN', 1, 9, 'b', 'confirmed', 9);
INSERT INTO withdrawals (withdrawal_id, tenant, idempotency_key, request_hash, owner, asset,
network, address, amount_minor, fee_minor, status, decided_by, sender, nonce)
OVERRIDING SYSTEM VALUE VALUES
(1, 't', 'sent', '', 'alice', 'COIN', 'net:1', 'x', 5, 0, 'broadcast', 'limits', 'wallet', 0),
(2, 't', 'waits', '', 'alice', 'COIN', 'net:1', 'x', 5, 0, 'approved', 'limits', NULL, NULL);
INSERT INTO transactions (network, transaction_id, withdrawal_id, sender, nonce, attempt, unsigned,
raw, fee_minor_max) VALUES ('net:1', 'out', 1, 'wallet', 0, 0, '', '', 0);
"""

Query = Callable[[Connection], Awaitable[object]]

EVENT = EventRow("event", "t", "deposit.detected", b"{}")
NOW = datetime.now(UTC)


KEPT: list[tuple[str, Query]] = [
    ("deposits", lambda conn: facts.standing_deposits(conn, [(1, 0)])),
    ("network_costs", lambda conn: facts.standing_costs(conn, [(1, 0)])),
    ("withdrawals", lambda conn: facts.standing_withdrawals(conn, [(1, 0, "broadcast")])),
    ("withdrawals", lambda conn: withdrawals.lock_withdrawals(conn, [2], ["approved"])),
    ("withdrawals", lambda conn: withdrawals.await_signing(conn, "t")),
    ("withdrawals", lambda conn: transactions.lock_landing(conn, "net:1", ["out"])),
    ("deposits", lambda conn: deposits.find_deposit(conn, "t", 1)),
    ("cursors", lambda conn: chain.lock_cursor(conn, "net:1")),
    ("accounts", lambda conn: ledger.lock_available(conn, "t", "alice", asset="COIN")),
    ("accounts", lambda conn: ledger.lock_accounts(conn, [2], 0)),
    ("nonces", lambda conn: wallets.lock_nonces(conn, "net:1", {"wallet": 0})),
    ("address_counters", lambda conn: addresses.lock_counter(conn, "net:1")),
    ("inbox", lambda conn: rescan.hold_stages(conn, ["match_deposits"])),
    ("endpoints", lambda conn: notifications.store_events(conn, [EVENT], NOW)),
    ("endpoints", lambda conn: notifications.store_test(conn, EVENT, "endpoint", NOW)),
    (
        "endpoints",
        lambda conn: notifications.replay_events(
            conn, "t", event_ids=["kept"], since=None, until=None, endpoint_id=None
        ),
    ),
    ("leases", lambda conn: stream.hold_lease(conn, "lease", HOLDER)),
    ("leases", lambda conn: chain.mark_published(conn, "net:1", [9], chain.Fence("lease", HOLDER))),
]


@pytest.fixture(scope="module")
async def rows(pool: Pool) -> None:
    """One row in each of the tables, behind the guards."""
    async with pool.acquire() as conn, conn.transaction():
        await conn.execute(ROWS)


@pytest.mark.usefixtures("rows")
@pytest.mark.parametrize(("table", "query"), KEPT)
async def test_who_would_change_what_was_read_waits_for_its_reader(
    pool: Pool, table: str, query: Query
) -> None:
    async with pool.acquire() as conn:
        transaction = conn.transaction()
        await transaction.start()
        assert await query(conn) != []
        changing = asyncio.ensure_future(
            pool.execute(f"SELECT FROM {table} FOR NO KEY UPDATE")  # as any change takes
        )
        await until_blocked(pool, changing)
        await transaction.rollback()
        await changing


@pytest.mark.usefixtures("rows")
async def test_orders_of_a_user_are_judged_one_by_one_though_he_has_no_row(pool: Pool) -> None:
    async def judge(conn: Connection) -> None:
        await withdrawals.lock_users(conn, [("t", "nobody")])

    async with pool.acquire() as conn, pool.acquire() as other:
        async with conn.transaction():
            await judge(conn)
            judging = asyncio.ensure_future(judge(other))
            await until_blocked(pool, judging)
        await judging
