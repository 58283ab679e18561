"""Facts of a chain that reach the ledger late, or again: what stands is posted, and once."""

from __future__ import annotations

from agents.by_operator.redrive_letters import redrive_dead_letters
from agents.post_ledger import PostLedger
from ledger import rules
from ledger.chart import BALANCE_MINOR_LIMIT
from sql.pool import Pool
from tests.support.books import Books
from tests.support.deposits import CONFIRMATIONS
from tests.support.pipeline import Pipeline
from tests.support.withdrawals import FEE_MINOR, SimulatedWorld
from topics.ledger import LEDGER

START_MINOR = 10**6


def hold_ledger_up(pipeline: Pipeline) -> None:
    """Let facts wait on their topic."""
    pipeline.runners = [r for r in pipeline.runners if r.stage.name != PostLedger.name]


async def post_backwards(pipeline: Pipeline) -> None:
    """Give the ledger all facts that waited, the last one first."""
    await pipeline.start()
    pipeline.deliver = lambda records: [[record] for record in reversed(records)]
    await pipeline.settle()


async def test_a_credit_and_an_expense_told_after_their_reversal_are_not_posted(
    pool: Pool, database_url: str
) -> None:
    books = Books(pool, database_url)
    await books.start()
    address = await books.watch()
    hold_ledger_up(books.pipeline)
    books.chain.mint(address, None, 500)
    books.chain.charge(books.hot, 7)
    books.chain.mine(CONFIRMATIONS)
    await books.follow()
    assert "confirmed" in await books.statuses()
    books.chain.drop(CONFIRMATIONS + 2)
    books.chain.mine(CONFIRMATIONS + 3)
    await books.follow()
    await post_backwards(books.pipeline)
    assert await books.available() == 0
    assert await books.balance("network_fees") == 0


async def test_a_settlement_told_after_it_was_undone_is_not_posted(
    pool: Pool, database_url: str
) -> None:
    world = SimulatedWorld(pool, database_url)
    await world.start()
    await world.mine(CONFIRMATIONS)
    hold_ledger_up(world.pipeline)
    await world.request(world.command("order-1", 100))
    await world.mine(CONFIRMATIONS)
    assert (await world.withdrawal("order-1")).status == "confirmed"
    world.chain.reorganise(CONFIRMATIONS, keep=False, length=CONFIRMATIONS + 1)
    await world.follow()
    assert (await world.withdrawal("order-1")).status == "broadcast"
    await post_backwards(world.pipeline)
    assert await world.balance("pending") == 100 + FEE_MINOR


async def test_a_fact_that_is_told_again_is_no_dead_letter(pool: Pool, database_url: str) -> None:
    world = SimulatedWorld(pool, database_url)
    await world.start()
    await world.request(world.command("order-1", 100))
    await world.mine(CONFIRMATIONS)
    for record in list(world.pipeline.kafka.topics[world.pipeline.kafka.prefix + LEDGER.name]):
        world.pipeline.kafka.append(record.topic, record.key, record.value)
    await world.settle()
    assert await world.parked_facts() == 0
    assert await world.balance("pending") == 0
    assert await world.balance("available") == START_MINOR - 100 - FEE_MINOR


async def test_a_fact_that_had_no_room_in_the_ledger_is_posted_when_it_is_redriven(
    pool: Pool, database_url: str
) -> None:
    books = Books(pool, database_url)
    await books.start()
    half = BALANCE_MINOR_LIMIT * 6 // 10
    await books.deposit(half)
    await books.deposit(half)
    assert await books.available() == half
    taken = rules.deposit_reversed(
        books.tenant, "alice", books.coin, half, deposit_id=0, revision=0
    )
    await books.post(taken)
    async with pool.acquire() as conn, conn.transaction():
        parked = "SELECT id FROM dead_letters WHERE stage = $1 AND key = $2"
        [letter] = await conn.fetch(parked, PostLedger.name, books.network.encode())
        await redrive_dead_letters(conn, [letter["id"]], topic_prefix=books.pipeline.kafka.prefix)
    await books.pipeline.settle()
    assert await books.available() == half
