"""Posting to the real database: what the pure tests cannot show."""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable

import pytest

import sql.ledger as tables
from agents.runtime.stage import Work
from ledger import rules
from ledger.chart import REORGANISED_CREDIT, Kind
from ledger.entries import AccountRef, Entry, Line, Outcome, PostResult
from ledger.post import FEW_ENTRIES, post
from metrics.catalogue import REGISTRY
from sql.pool import Connection, Pool
from tests.support.ledger import deposit, open_tenant, reversal, user
from tests.support.ledger_faults import INVALID, TENANT
from tests.support.races import read_patiently


@pytest.fixture
async def tenant(pool: Pool) -> str:
    async with pool.acquire() as conn:
        return await open_tenant(conn)


async def post_all(pool: Pool, *entries: Entry) -> list[PostResult]:
    async with pool.acquire() as conn, conn.transaction():
        return await post(conn, entries)


async def test_entries_are_counted_by_what_became_of_them_once_they_are_committed(
    pool: Pool, tenant: str
) -> None:
    credit, spent = deposit(tenant, "alice", 5, 1), reversal(tenant, "alice", 5, 1)
    fates = [(credit, "posted"), (credit, "duplicate"), (spent, "posted")]
    before = [entries_counted(entry, fate) for entry, fate in fates]
    async with pool.acquire() as conn:
        async with conn.transaction():
            work = Work(conn)
            await post(conn, [credit, credit, spent], work.count)
        assert [entries_counted(*fate) for fate in fates] == before
        work.raise_counters()
    assert [entries_counted(*fate) for fate in fates] == [count + 1 for count in before]


def entries_counted(entry: Entry, outcome: str) -> float:
    labels = {"kind": entry.kind, "outcome": outcome}
    return REGISTRY.get_sample_value("millrace_ledger_entries_total", labels) or 0


async def test_no_broken_entry_reaches_the_database(pool: Pool, tenant: str) -> None:
    async with pool.acquire() as conn:
        await conn.execute("INSERT INTO tenants (tenant, name) VALUES ($1, $1)", TENANT)
    for last in (Outcome.POSTED, Outcome.DUPLICATE):  # a duplicate makes it look for all keys
        results = await post_all(pool, *INVALID.values(), deposit(tenant, "alice", 1, 1))
        assert [r.outcome for r in results] == [*[Outcome.INVALID] * len(INVALID), last]


@pytest.mark.parametrize("name", ["nobody", "", "a\0b", "\ud800", "x" * 300])
async def test_an_unknown_tenant_or_asset_is_invalid_and_harms_no_other(
    pool: Pool, tenant: str, name: str
) -> None:
    other_asset = rules.deposit_credited(tenant, "a", name, 5, deposit_id=2, revision=0)
    results = await post_all(
        pool, deposit(name, "alice", 5, 1), other_asset, deposit(tenant, "alice", 5, 1)
    )
    assert [r.outcome.value for r in results] == ["invalid", "invalid", "posted"]


@pytest.mark.parametrize("others", [0, FEW_ENTRIES], ids=["few", "many"])
async def test_odd_names_keys_and_metadata_are_kept_as_they_are(
    pool: Pool, tenant: str, others: int
) -> None:
    owner, key = "Zoë \\N \t\n 'x'", "order:\\N:\\t:ß:{},\"'"
    line = Line(
        AccountRef(tenant, "", "ETH", "hot_wallet"), user(tenant, owner, "available"), 10**77
    )
    metadata = {"note": 'tab\t \\ "quoted" \u2028', "amount_minor": str(10**77)}
    entry = Entry(tenant, Kind.FUNDING, key, (line,), "\\", "\\N", metadata=metadata)
    beside = [deposit(tenant, "alice", 5, number) for number in range(others)]
    results = await post_all(pool, entry, *beside)
    assert {r.outcome for r in results} == {Outcome.POSTED}
    async with pool.acquire() as conn:
        row = await conn.fetchrow(
            "SELECT idempotency_key, reference_type, reference_id, metadata ->> 'note' AS note "
            "FROM journal_entries WHERE tenant = $1 AND kind = 'FUNDING'",
            tenant,
        )
        assert (
            await tables.fetch_account_balance(conn, tenant, owner, asset="ETH", bucket="available")
            == 10**77
        )
    assert row is not None
    assert tuple(row) == (key, "\\", "\\N", metadata["note"])
    assert [r.outcome for r in await post_all(pool, entry)] == [Outcome.DUPLICATE]


async def test_a_refused_entry_posted_again_with_money_there_is_posted(
    pool: Pool, tenant: str
) -> None:
    held = rules.withdrawal_held(tenant, "alice", "ETH", 10, fee_minor=1, withdrawal_id=1)
    results = await post_all(pool, held, deposit(tenant, "alice", 11, 1), held, held)
    assert [r.outcome.value for r in results] == [
        "insufficient_funds",
        "posted",
        "posted",
        "duplicate",
    ]


async def test_a_repeated_hold_is_a_duplicate_though_the_money_is_gone(
    pool: Pool, tenant: str
) -> None:
    held = rules.withdrawal_held(tenant, "alice", "ETH", 10, fee_minor=0, withdrawal_id=1)
    first = await post_all(pool, deposit(tenant, "alice", 10, 1), held)
    again = await post_all(pool, held)
    assert [(r.outcome, r.entry_id) for r in again] == [(Outcome.DUPLICATE, first[1].entry_id)]


async def test_a_reversal_split_by_a_debt_is_known_again(pool: Pool, tenant: str) -> None:
    held = rules.withdrawal_held(tenant, "alice", "ETH", 70, fee_minor=0, withdrawal_id=1)
    undone = reversal(tenant, "alice", 100, 1)
    await post_all(pool, deposit(tenant, "alice", 100, 1), held, undone)
    repaid = deposit(tenant, "alice", 100, 1, revision=1)
    await post_all(pool, repaid)
    results = await post_all(pool, undone, repaid, reversal(tenant, "alice", 99, 1))
    assert [r.outcome.value for r in results] == ["duplicate", "duplicate", "conflict"]


async def test_a_frozen_user_takes_money_in_but_lets_none_out(pool: Pool, tenant: str) -> None:
    async with pool.acquire() as conn:
        await tables.freeze_account(conn, tenant, "alice", asset="ETH", reason="court order")
    held = rules.withdrawal_held(tenant, "alice", "ETH", 1, fee_minor=0, withdrawal_id=1)
    results = await post_all(pool, deposit(tenant, "alice", 10, 1), held)
    assert [(r.outcome.value, r.detail) for r in results] == [
        ("posted", ""),
        ("frozen", "court order"),
    ]


async def test_an_operators_freeze_outlives_a_debt_and_a_debt_outlives_it(
    pool: Pool, tenant: str
) -> None:
    held = rules.withdrawal_held(tenant, "alice", "ETH", 70, fee_minor=0, withdrawal_id=1)
    await post_all(pool, deposit(tenant, "alice", 100, 1), held, reversal(tenant, "alice", 100, 1))

    async def reason() -> str | None:
        async with pool.acquire() as conn:
            return (await tables.fetch_balances(conn, tenant, "alice"))[0].frozen_reason

    async with pool.acquire() as conn:
        await tables.freeze_account(conn, tenant, "alice", asset="ETH", reason="court order")
        await tables.unfreeze_account(
            conn, tenant, "alice", asset="ETH", debt_reason=REORGANISED_CREDIT
        )
    assert await reason() == REORGANISED_CREDIT
    async with pool.acquire() as conn:
        await tables.freeze_account(conn, tenant, "alice", asset="ETH", reason="court order")
    await post_all(pool, deposit(tenant, "alice", 100, 2))
    assert await reason() == "court order"
    async with pool.acquire() as conn:
        await tables.unfreeze_account(
            conn, tenant, "alice", asset="ETH", debt_reason=REORGANISED_CREDIT
        )
    assert await reason() is None


async def test_a_statement_pages_back_to_the_first_posting_without_a_gap(
    pool: Pool, tenant: str
) -> None:
    await post_all(pool, *(deposit(tenant, "alice", n, n) for n in range(1, 24)))
    held = rules.withdrawal_held(tenant, "alice", "ETH", 5, fee_minor=0, withdrawal_id=1)
    await post_all(pool, held)
    lines: list[tables.StatementLine] = []
    below_entry_id = 2**63 - 1
    async with pool.acquire() as conn:
        while page := await tables.fetch_statement(
            conn, tenant, "alice", "ETH", "available", below_entry_id=below_entry_id, limit_rows=5
        ):
            assert len(page) <= 5
            lines += page
            below_entry_id = page[-1].entry_id
    assert len(lines) == 24
    assert (lines[0].side, lines[0].balance_after_minor) == ("debit", sum(range(24)) - 5)
    for newer, older in itertools.pairwise(lines):
        change = newer.amount_minor if newer.side == "credit" else -newer.amount_minor
        assert newer.balance_after_minor == older.balance_after_minor + change


async def test_the_trial_balance_is_even(pool: Pool, tenant: str) -> None:
    settled = rules.withdrawal_settled(
        tenant,
        "alice",
        "ETH",
        40,
        fee_minor=2,
        withdrawal_id=1,
        revision=0,
        native_asset="ETH",
        gas_minor=1,
    )
    held = rules.withdrawal_held(tenant, "alice", "ETH", 40, fee_minor=2, withdrawal_id=1)
    await post_all(pool, deposit(tenant, "alice", 100, 1), held, settled)
    async with pool.acquire() as conn:
        assert await tables.fetch_trial_balance(conn, tenant) == [(tenant, "ETH", 101, 101, 0)]
        [balance] = await tables.fetch_balances(conn, tenant, "alice")
    assert (balance.available_minor, balance.pending_minor, balance.total_minor) == (58, 0, 58)


async def test_500_entries_are_planned_without_reading_the_accounts_over_and_over(
    pool: Pool, tenant: str
) -> None:
    await post_all(pool, *(deposit(tenant, f"user-{n}", 1, n) for n in range(500)))
    async with pool.acquire() as conn, conn.transaction():
        before = await conn.fetchval(
            "SELECT sum(seq_tup_read) FROM pg_stat_xact_user_tables WHERE relname = 'accounts'"
        )
        await post(conn, [deposit(tenant, f"user-{n}", 1, 1000 + n) for n in range(500)])
        after = await conn.fetchval(
            "SELECT sum(seq_tup_read) FROM pg_stat_xact_user_tables WHERE relname = 'accounts'"
        )
    assert after - before < 10_000


@pytest.mark.parametrize("verify", [tables.verify_ledger, tables.verify_running_balances])
async def test_the_whole_journal_is_read_however_long_that_takes(
    pool: Pool, database_url: str, verify: Callable[[Connection], Awaitable[list[object]]]
) -> None:
    """Workers give other statements up in time: their server may be gone without a word."""
    assert await read_patiently(pool, database_url, "journal_lines", verify) == []
