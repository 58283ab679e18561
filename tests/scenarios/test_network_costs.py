"""What the network takes beside transfers is an expense, and the books stay equal to the chain."""

from __future__ import annotations

import random
import secrets

import pytest

from chain_adapters.simulated import FEE_MINOR
from chain_adapters.types import Transaction, Transfer
from sql.pool import Pool
from tests.support.books import Books
from tests.support.deposits import CONFIRMATIONS
from topics.blocks import BLOCKS, BlockRemoved
from topics.deposits import DEPOSITS, BlockMatched


@pytest.fixture
async def books(pool: Pool, database_url: str) -> Books:
    made = Books(pool, database_url)
    await made.start()
    return made


async def wallets(books: Books) -> dict[str, int]:
    report = await books.reconcile()
    assert report.clean, report.differences
    return {w.bucket: w.ledger_minor for w in report.wallets if w.asset == books.coin}


async def test_a_cost_of_any_address_of_ours_is_an_expense_once_confirmed(books: Books) -> None:
    address = await books.deposit(700)
    pooled, memo = await books.give_memo()
    books.chain.mint(pooled, None, 90, memo)
    for payer, amount_minor in ((address, 5), (books.hot, 30), (pooled, 4), (address, 1)):
        books.chain.charge(payer, amount_minor)
    await books.follow()
    before = await books.balance("network_fees")
    assert before < 40
    await books.confirm()
    assert await books.balance("network_fees") == 40
    assert await wallets(books) == {
        "deposit_wallets": 700 + 90 - 10,
        "hot_wallet": 1_000_000 - 30,
    }
    assert await books.available() == 790
    assert await books.wrong_in_books() == []


async def test_what_the_network_gives_back_makes_the_expense_smaller(books: Books) -> None:
    books.chain.charge(books.hot, 50)
    books.chain.charge(books.hot, -20)
    await books.confirm()
    assert await books.balance("network_fees") == 30
    assert await wallets(books) == {"hot_wallet": 1_000_000 - 30}


async def test_a_cost_in_a_block_that_leaves_the_chain_is_taken_back(books: Books) -> None:
    books.chain.charge(books.hot, 50)
    books.chain.charge(books.hot, -20)
    await books.confirm()
    dropped = books.chain.drop(CONFIRMATIONS + 2)
    books.chain.mine(CONFIRMATIONS + 3)
    await books.follow()
    assert await books.balance("network_fees") == 0
    assert await wallets(books) == {"hot_wallet": 1_000_000}
    books.chain.include([t for block in dropped for t in block.transactions])
    await books.confirm()
    assert await books.balance("network_fees") == 30
    assert await wallets(books) == {"hot_wallet": 1_000_000 - 30}


async def test_no_cost_is_confirmed_whose_block_has_left_though_its_removal_is_not_read_yet(
    books: Books,
) -> None:
    books.chain.charge(books.hot, 7)
    await books.follow()
    books.chain.drop(1)
    books.chain.mine(CONFIRMATIONS + 1)
    await books.follower.catch_up(books.chain.tip)
    runners = books.pipeline.runners
    books.pipeline.runners = [r for r in runners if r.stage.name != "match_deposits"]
    matched = DEPOSITS.encode(BlockMatched(books.network, books.chain.tip.height))
    books.pipeline.kafka.append(books.pipeline.kafka.prefix + DEPOSITS.name, b"", matched)
    await books.pipeline.settle()
    assert await books.balance("network_fees") == 0


async def test_blocks_and_removals_that_are_told_again_change_no_expense(books: Books) -> None:
    books.chain.charge(books.hot, 7)
    books.chain.charge(books.hot, 50)
    await books.follow()
    books.chain.drop(1)
    books.chain.charge(books.hot, 20)
    await books.confirm()
    assert await books.balance("network_fees") == 27
    told = list(books.pipeline.kafka.topics[books.pipeline.kafka.prefix + BLOCKS.name])
    removals = [r for r in told if isinstance(BLOCKS.decode(r.value or b""), BlockRemoved)]
    for again in (told, removals):
        for record in again:
            books.pipeline.kafka.append(record.topic, record.key, record.value)
        await books.pipeline.settle()
        assert await books.balance("network_fees") == 27
    assert await wallets(books) == {"hot_wallet": 1_000_000 - 27}


async def test_repeated_and_reordered_records_end_in_the_same_expense(books: Books) -> None:
    chance = random.Random(11)
    for amount_minor in (5, -2, 7):
        books.chain.charge(books.hot, amount_minor)
    books.chain.reorganise(1, keep=False)
    books.chain.mine(CONFIRMATIONS)
    books.pipeline.deliver = lambda records: [
        [record] for record in chance.sample([*records, *records], k=2 * len(records))
    ]
    await books.follow()
    books.pipeline.deliver = lambda records: [[record] for record in records]
    await books.confirm()
    assert await books.balance("network_fees") == 3
    assert await wallets(books) == {"hot_wallet": 1_000_000 - 3}


async def test_the_fee_of_a_withdrawal_is_not_counted_twice(books: Books) -> None:
    await books.deposit(700)
    await books.withdraw(400)
    await books.confirm()
    assert await books.balance("network_fees") == FEE_MINOR
    async with books.pool.acquire() as conn:
        assert await conn.fetchval("SELECT count(*) FROM network_costs") == await conn.fetchval(
            "SELECT count(*) FROM network_costs WHERE network <> $1", books.network
        )
    assert await wallets(books) == {
        "deposit_wallets": 700,
        "hot_wallet": 1_000_000 - 400 - FEE_MINOR,
    }


async def test_a_payer_who_is_not_ours_and_a_fee_nobody_tells_cost_nothing(books: Books) -> None:
    books.chain.charge("0x" + secrets.token_hex(20), 50)
    unknown = Transaction("0x" + secrets.token_hex(32), books.hot, True, None)
    books.chain.include([unknown])
    await books.confirm()
    assert await books.balance("network_fees") == 0
    assert await wallets(books) == {"hot_wallet": 1_000_000}


async def test_change_of_our_own_payment_is_no_income_and_the_books_stay_exact(
    books: Books,
) -> None:
    """As on Bitcoin: the sender is not told, and what is left comes back as output 1."""
    await books.deposit(700)
    pooled = await books.withdraw(400)
    books.chain.pool.clear()
    mined = Transaction(
        pooled.id,
        None,
        True,
        None,
        (
            Transfer("out:0", None, pooled.order.payment.recipient, None, 400),
            Transfer("out:1", None, books.hot, None, 1_000_000 - 400 - FEE_MINOR),
        ),
    )
    books.chain.include([mined])
    # The simulated chain knows no coins: take what was spent off by hand.
    books.chain.state_at(-1).add(books.hot, None, -1_000_000)
    await books.confirm()
    assert await wallets(books) == {
        "deposit_wallets": 700,
        "hot_wallet": 1_000_000 - 400 - FEE_MINOR,
    }
    async with books.pool.acquire() as conn:
        change = await conn.fetchrow(
            "SELECT * FROM deposits WHERE network = $1 AND transfer_index = 'out:1'", books.network
        )
    assert change is not None
    assert (change["purpose"], change["status"]) == ("hot", "ignored")
    assert change["ignored_reason"] == "own_transfer"
    assert change["confirm_height"] == change["height"], "it may be spent from its block on"


@pytest.mark.parametrize(("depth_min", "confirmations"), [(1, CONFIRMATIONS), (8, 8)])
async def test_a_transfer_waits_as_long_as_the_chain_itself_asks_for(
    books: Books, depth_min: int, confirmations: int
) -> None:
    address = await books.watch()
    coinbase = Transfer("out:0", None, address, None, 500, None, depth_min)
    books.chain.include([Transaction("0x" + secrets.token_hex(32), None, True, 0, (coinbase,))])
    books.chain.mine(confirmations - 2)
    await books.follow()
    assert await books.available() == 0
    books.chain.mine()
    await books.follow()
    assert await books.available() == 500
