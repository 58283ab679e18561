"""A ledger that was away finds a fact, its undoing and its return in one batch: they count once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from agents.post_ledger import PostLedger
from sql.pool import Pool
from tests.support.books import Books
from tests.support.deposits import CONFIRMATIONS, World


@pytest.fixture
async def books(pool: Pool, database_url: str) -> Books:
    made = Books(pool, database_url)
    await made.start()
    return made


@contextmanager
def ledger_away(world: World) -> Iterator[None]:
    """Let facts pile up; they are one batch when the ledger is back."""
    runners = world.pipeline.runners
    world.pipeline.runners = [r for r in runners if not isinstance(r.stage, PostLedger)]
    yield
    world.pipeline.runners = runners


async def count_parked(world: World) -> int:
    async with world.pool.acquire() as conn:
        query = "SELECT count(*) FROM dead_letters WHERE key = $1"
        parked: int = await conn.fetchval(query, world.network.encode())
    return parked


async def test_a_deposit_that_moved_meanwhile_is_credited_once(books: Books) -> None:
    address = await books.watch()
    books.chain.mint(address, None, 500)
    with ledger_away(books):
        await books.confirm()
        dropped = books.chain.drop(CONFIRMATIONS + 1)
        books.chain.mine()
        books.chain.include([t for block in dropped for t in block.transactions])
        books.chain.mine(CONFIRMATIONS)
        await books.confirm()
    await books.pipeline.settle()

    assert await books.available() == 500
    assert (await books.reconcile()).clean


async def test_a_payment_that_moved_meanwhile_is_settled_once(books: Books) -> None:
    await books.deposit(700)
    await books.withdraw(400)
    with ledger_away(books):
        await books.confirm()
        books.chain.reorganise(CONFIRMATIONS + 1, length=2 * CONFIRMATIONS)
        await books.confirm()
    await books.pipeline.settle()

    assert await books.available() == 300
    assert await count_parked(books) == 0
    assert (await books.reconcile()).clean
