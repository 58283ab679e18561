"""Many clients at once, on few accounts."""

from __future__ import annotations

import asyncio
import random
from collections import Counter

import pytest

import sql.ledger as tables
from ledger import rules
from ledger.chart import Kind
from ledger.entries import AccountRef, Entry, Line, Outcome, PostResult
from ledger.post import post
from sql.pool import Connection, Pool, open_pool
from tests.support.ledger import OWNERS, deposit, open_tenant, reversal

CLIENTS = 32


async def post_batch(pool: Pool, entries: list[Entry]) -> list[PostResult]:
    async with pool.acquire() as conn, conn.transaction():
        return await post(conn, entries)


def one_of_many(tenant: str, chance: random.Random) -> Entry:
    owner, amount_minor = chance.choice(OWNERS), chance.randrange(1, 50)
    number = chance.randrange(10**9)
    draw = chance.random()
    if draw < 0.4:
        return deposit(tenant, owner, amount_minor, number)
    if draw < 0.6:
        return rules.withdrawal_held(
            tenant, owner, "ETH", amount_minor, fee_minor=1, withdrawal_id=number
        )
    if draw < 0.7:
        return reversal(tenant, owner, amount_minor, number)
    if draw < 0.85:
        return rules.hold(
            tenant, owner, "ETH", amount_minor, reason="ESCROW_LOCK", hold_id=str(number)
        )
    return rules.unhold(
        tenant, owner, "ETH", amount_minor, reason="ESCROW_LOCK", hold_id=str(number)
    )


async def test_32_clients_on_few_accounts_lose_nothing_and_overdraw_nothing(
    database_url: str,
) -> None:
    async with await open_pool(database_url, size=CLIENTS) as pool:
        async with pool.acquire() as conn:
            tenant = await open_tenant(conn)

        async def client(seed: int) -> list[tuple[Entry, PostResult]]:
            chance = random.Random(seed)
            done = []
            for _ in range(6):
                batch = [one_of_many(tenant, chance) for _ in range(chance.randrange(1, 12))]
                done += list(zip(batch, await post_batch(pool, batch), strict=True))
            return done

        done = [
            pair for pairs in await asyncio.gather(*map(client, range(CLIENTS))) for pair in pairs
        ]
        outcomes = Counter(result.outcome for _, result in done)
        deposited = sum(
            entry.lines[0].amount_minor * (1 if entry.kind is Kind.DEPOSIT else -1)
            for entry, result in done
            if result.outcome is Outcome.POSTED
            and entry.kind in (Kind.DEPOSIT, Kind.DEPOSIT_REVERSED)
        )
        async with pool.acquire() as conn:
            assert await tables.verify_ledger(conn) == []
            assert await tables.verify_running_balances(conn) == []
            balances = [
                balance
                for owner in OWNERS
                for balance in await tables.fetch_balances(conn, tenant, owner)
            ]
    assert outcomes[Outcome.POSTED] > 100
    assert outcomes[Outcome.INVALID] == outcomes[Outcome.CONFLICT] == 0
    assert sum(balance.total_minor - balance.receivable_minor for balance in balances) == deposited
    assert min(min(b.available_minor, b.locked_minor, b.pending_minor) for b in balances) >= 0


async def test_a_key_posted_by_many_clients_at_once_moves_money_once(database_url: str) -> None:
    async with await open_pool(database_url, size=8) as pool:
        async with pool.acquire() as conn:
            tenant = await open_tenant(conn)
        entry = deposit(tenant, "alice", 100, 1)
        results = [
            result
            for results in await asyncio.gather(*(post_batch(pool, [entry]) for _ in range(8)))
            for result in results
        ]
        async with pool.acquire() as conn:
            balance = await tables.fetch_account_balance(
                conn, tenant, "alice", asset="ETH", bucket="available"
            )
    assert Counter(r.outcome for r in results) == {Outcome.POSTED: 1, Outcome.DUPLICATE: 7}
    assert len({r.entry_id for r in results}) == 1
    assert balance == 100


async def test_a_key_taken_meanwhile_for_other_accounts_is_a_conflict_and_harms_no_other_entry(
    pool: Pool,
) -> None:
    async with pool.acquire() as conn:
        tenant = await open_tenant(conn)

    def funding(wallet: str, source: str, amount_minor: int, key: str) -> Entry:
        line = Line(
            AccountRef(tenant, "", "USDT", wallet),
            AccountRef(tenant, "", "USDT", source),
            amount_minor,
        )
        return Entry(tenant, Kind.FUNDING, key, (line,), "test", key)

    async with pool.acquire() as first, pool.acquire() as second:
        ours = first.transaction()
        await ours.start()
        await post(first, [funding("hot_wallet", "capital", 5, "key")])
        late = asyncio.create_task(
            post_batch_on(
                second,
                [
                    funding("gas_wallet", "suspense", 7, "other"),
                    funding("gas_wallet", "suspense", 9, "key"),
                ],
            )
        )
        await asyncio.sleep(0.2)
        assert not late.done()  # it waits for the key
        await ours.commit()
        results = await late
        assert [result.outcome for result in results] == [Outcome.POSTED, Outcome.CONFLICT]
        assert (
            await tables.fetch_account_balance(first, tenant, "", asset="USDT", bucket="gas_wallet")
            == 7
        )


async def post_batch_on(conn: Connection, entries: list[Entry]) -> list[PostResult]:
    async with conn.transaction():
        return await post(conn, entries)


async def test_accounts_opened_in_a_transaction_that_failed_are_opened_again(pool: Pool) -> None:
    async with pool.acquire() as conn:
        tenant = await open_tenant(conn)
        transaction = conn.transaction()
        await transaction.start()
        await post(conn, [deposit(tenant, "alice", 1, 1)])
        await transaction.rollback()
    results = await post_batch(pool, [deposit(tenant, "alice", 2, 1)])
    assert [result.outcome for result in results] == [Outcome.POSTED]


async def test_posting_outside_a_transaction_is_an_error(pool: Pool) -> None:
    async with pool.acquire() as conn:
        with pytest.raises(RuntimeError, match="transaction"):
            await post(conn, [])
