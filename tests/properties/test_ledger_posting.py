"""Whatever is posted, in whatever batches: the books are what a plain model says they are."""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import sql.ledger as tables
from ledger.entries import AccountRef, Entry, Line, Outcome
from ledger.post import FEW_ENTRIES
from sql.pool import Pool
from tests.support.ledger import (
    Books,
    DatabaseBooks,
    MemoryBooks,
    Model,
    all_refs,
    deposit,
    differences,
    entries,
    open_tenant,
)

KINDS_OF_BOOKS = ("database", "memory")

ours = settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


async def open_books(pool: Pool, kind: str) -> tuple[Books, str]:
    async with pool.acquire() as conn:
        tenant = await open_tenant(conn)
    return (DatabaseBooks(pool) if kind == "database" else MemoryBooks(tenant)), tenant


def of_tenant(entry: Entry, tenant: str) -> Entry:
    """The same event in the books of another tenant."""

    def moved(ref: AccountRef) -> AccountRef:
        return AccountRef(tenant, ref.owner, ref.asset, ref.bucket)

    lines = tuple(
        Line(
            moved(line.debit),
            moved(line.credit),
            line.amount_minor,
            overflow=line.overflow and moved(line.overflow),
            repays=line.repays and moved(line.repays),
        )
        for line in entry.lines
    )
    return Entry(
        tenant,
        entry.kind,
        entry.idempotency_key,
        lines,
        entry.reference_type,
        entry.reference_id,
        enforce_frozen=entry.enforce_frozen,
    )


def in_batches(events: Sequence[Entry], sizes: Sequence[int]) -> list[Sequence[Entry]]:
    """Cut the events into batches of these sizes, over and over."""
    batches: list[Sequence[Entry]] = []
    start = 0
    for size in itertools.cycle(sizes):
        if start >= len(events):
            return batches
        batches.append(events[start : start + size])
        start += size
    return batches


@pytest.mark.parametrize("kind", KINDS_OF_BOOKS)
@given(
    events=st.lists(entries(), min_size=1, max_size=40),
    sizes=st.lists(st.integers(1, FEW_ENTRIES + 10), min_size=1, max_size=5),
)
@ours
async def test_results_and_balances_are_the_models_however_events_are_batched(
    pool: Pool, kind: str, events: list[Entry], sizes: list[int]
) -> None:
    books, tenant = await open_books(pool, kind)
    model = Model()
    events = [of_tenant(event, tenant) for event in events]
    for batch in in_batches(events, sizes):
        expected = [model.post(entry) for entry in batch]
        results = await books.post(batch)
        told = [(r.outcome, r.shortfall_minor, set(r.unfrozen)) for r in results]
        assert told == expected
    assert await differences(books, model, tenant) == []
    assert sum(model.net.values()) == 0


@given(st.lists(entries(), min_size=1, max_size=40))
@ours
async def test_the_journal_alone_gives_the_balances(pool: Pool, events: list[Entry]) -> None:
    books, tenant = await open_books(pool, "database")
    for batch in in_batches([of_tenant(event, tenant) for event in events], [7, 1, 13]):
        await books.post(batch)
    async with pool.acquire() as conn:
        assert await tables.verify_ledger(conn) == []
        assert await tables.verify_running_balances(conn) == []
        assert await tables.fetch_imbalances(conn) == []


@pytest.mark.parametrize("kind", KINDS_OF_BOOKS)
@given(
    amounts=st.lists(st.integers(1, 10**70), min_size=1, max_size=12), seed=st.integers(0, 10**6)
)
@ours
async def test_deposits_repeated_and_in_any_order_are_credited_once(
    pool: Pool, kind: str, amounts: list[int], seed: int
) -> None:
    books, tenant = await open_books(pool, kind)
    credits_ = [deposit(tenant, "alice", amount, n) for n, amount in enumerate(amounts)]
    shuffled = credits_ * 3
    random.Random(seed).shuffle(shuffled)
    for batch in in_batches(shuffled, [1, 5, 3]):
        for result in await books.post(batch):
            assert result.outcome in (Outcome.POSTED, Outcome.DUPLICATE)
    assert await books.balance(AccountRef(tenant, "alice", "ETH", "available")) == sum(amounts)


@pytest.mark.parametrize("kind", KINDS_OF_BOOKS)
@given(st.lists(entries(), min_size=1, max_size=30))
@ours
async def test_posting_everything_again_changes_no_balance_it_had_posted(
    pool: Pool, kind: str, events: list[Entry]
) -> None:
    books, tenant = await open_books(pool, kind)
    events = [of_tenant(event, tenant) for event in events]
    first = await books.post(events)
    posted = [
        event
        for event, result in zip(events, first, strict=True)
        if result.outcome is Outcome.POSTED
    ]
    before = [await books.balance(ref) for ref in all_refs(tenant)]
    again = await books.post(posted)
    assert {result.outcome for result in again} <= {Outcome.DUPLICATE}
    ids = [result.entry_id for result in first if result.outcome is Outcome.POSTED]
    assert [result.entry_id for result in again] == ids
    assert [await books.balance(ref) for ref in all_refs(tenant)] == before
