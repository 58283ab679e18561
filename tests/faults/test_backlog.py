"""A ledger that was away finds a fact, its undoing and its return in one batch: they count once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

import pytest

from agents.parts.deposit_events import deposit_fact as deposit_fact_of
from agents.parts.ledger_entries import entry_of
from agents.post_ledger import Item, PostLedger
from agents.runtime.transact import transact
from ledger import rules
from ledger.post import post
from sql import facts as facts_sql
from sql.pool import Connection, Pool
from tests.support.books import Books
from tests.support.deposits import CONFIRMATIONS, World
from topics.events import EVENTS, event_type
from topics.ledger import DepositConfirmed, DepositFact, DepositOrphaned, LedgerRecord

FactT = TypeVar("FactT", bound=DepositFact)


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


async def test_a_credit_that_overtakes_the_reversal_of_the_one_before_waits_for_it(
    books: Books,
) -> None:
    """Both would be there to spend meanwhile. Two workers tell of them, and one may be slow."""
    address = await books.watch()
    books.chain.mint(address, None, 500)
    await books.confirm()
    with ledger_away(books):
        dropped = books.chain.drop(CONFIRMATIONS + 1)
        books.chain.mine()
        books.chain.include([t for block in dropped for t in block.transactions])
        books.chain.mine(CONFIRMATIONS)
        await books.confirm()
    async with books.pool.acquire() as conn:
        (again,) = await facts_sql.confirmed_again(conn, [(await newest_deposit(conn), 0)])
    credit = deposit_fact_of(DepositConfirmed, again, again.confirm_height)
    reversal = deposit_fact_of(DepositOrphaned, again._replace(revision=0), again.height)

    assert await post_alone(books, credit) == []
    assert await books.available() == 500
    assert await post_alone(books, reversal) == ["deposit.reversed", "deposit.confirmed"]
    assert await books.available() == 500
    assert await post_alone(books, credit) == []
    await books.pipeline.settle()
    assert await books.available() == 500
    assert await count_parked(books) == 0
    assert (await books.reconcile()).clean


async def newest_deposit(conn: Connection) -> int:
    """Return its id."""
    found: int = await conn.fetchval("SELECT max(deposit_id) FROM deposits")
    return found


async def post_alone(books: Books, fact: DepositFact) -> list[str]:
    """Post a fact; return the types of the events."""
    stage = PostLedger(books.pipeline.context)
    async with transact(books.pipeline.context) as work:
        await stage.apply(work, [LedgerRecord([fact])], None)  # type: ignore[list-item]
        records = [payload for topic, _, payload in work.outbox if topic == EVENTS.name]
    return [event_type(event) for record in records for event in EVENTS.decode(record).events]


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


def deposit_fact(books: Books, kind: type[FactT], deposit_id: int, amount_minor: int) -> FactT:
    return kind(
        deposit_id=deposit_id,
        revision=0,
        tenant=books.tenant,
        owner="alice",
        purpose="deposit",
        asset=books.coin,
        amount_minor=str(amount_minor),
        network=books.network,
        address="address",
        sender=None,
        contract=None,
        memo=None,
        transaction_id=f"transaction-{deposit_id}",
        transfer_index="value",
        height=1,
        block_id="block",
        confirm_height=1,
        tip_height=1,
    )


async def test_who_is_let_go_and_owes_again_in_one_batch_hears_it_in_that_order(
    books: Books, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice = (books.tenant, "alice", books.coin)
    async with books.pool.acquire() as conn, conn.transaction():
        owing = [
            rules.deposit_credited(*alice, 300, deposit_id=1, revision=0),
            rules.deposit_credited(*alice, 100, deposit_id=2, revision=0),
            rules.withdrawal_held(*alice, 400, fee_minor=0, withdrawal_id=1),
            rules.deposit_reversed(*alice, 300, deposit_id=1, revision=0),
        ]
        assert (await post(conn, owing))[-1].shortfall_minor == 300

    async def both(*_: object) -> list[Item]:
        pays = deposit_fact(books, DepositConfirmed, 3, 300)
        owes = deposit_fact(books, DepositOrphaned, 2, 100)
        return [(pays, entry_of(pays, None)), (owes, entry_of(owes, None))]

    stage = PostLedger(books.pipeline.context)
    monkeypatch.setattr(stage, "_postable", both)
    async with transact(books.pipeline.context) as work:
        await stage.apply(work, [], None)
        (record,) = [payload for topic, _, payload in work.outbox if topic == EVENTS.name]
    assert [event_type(event) for event in EVENTS.decode(record).events] == [
        "deposit.confirmed",
        "account.unfrozen",
        "deposit.reversed",
        "account.frozen",
    ]
