"""Two hands on one account in the same moment."""

from __future__ import annotations

import asyncio

import sql.ledger as tables
from ledger import rules
from ledger.chart import REORGANISED_CREDIT
from ledger.post import post
from sql.pool import Pool
from tests.support.ledger import deposit, open_tenant, reversal
from tests.support.races import until_blocked


async def test_who_comes_to_owe_while_an_operator_lets_go_stays_frozen(pool: Pool) -> None:
    async with pool.acquire() as conn:
        tenant = await open_tenant(conn)
    held = rules.withdrawal_held(tenant, "alice", "ETH", 70, fee_minor=0, withdrawal_id=1)
    async with pool.acquire() as conn, conn.transaction():
        await post(conn, [deposit(tenant, "alice", 100, 1), held])
        await tables.freeze_account(conn, tenant, "alice", asset="ETH", reason="court order")
    async with pool.acquire() as conn, conn.transaction():
        await post(conn, [reversal(tenant, "alice", 100, 1)])
        letting_go = asyncio.create_task(unfreeze(pool, tenant))
        await until_blocked(pool, letting_go)
    await letting_go
    async with pool.acquire() as conn:
        (balance,) = await tables.fetch_balances(conn, tenant, "alice")
    assert (balance.receivable_minor, balance.frozen_reason) == (70, REORGANISED_CREDIT)


async def unfreeze(pool: Pool, tenant: str) -> None:
    async with pool.acquire() as conn:
        await tables.unfreeze_account(
            conn, tenant, "alice", asset="ETH", debt_reason=REORGANISED_CREDIT
        )
