"""Which coins are free, whose they are, and what may have taken them: each condition by itself."""

from __future__ import annotations

from collections.abc import AsyncIterator

import asyncpg
import pytest

from chain_adapters.types import Coin
from sql import coin_losses as losses_sql
from sql import coins as coins_sql
from sql.coin_losses import Taker
from sql.pool import Pool
from tests.support.records import AGE_S, HOT, LONG_S, NET, SHORT_S, Records, open_records

DEPTH_MAX = 5
OTHER_NET = "test:2"


@pytest.fixture
async def records(pool: Pool) -> AsyncIterator[Records]:
    """Blocks 3 to 20 of a chain."""
    async with open_records(pool) as made:
        await made.chain(3, 20)
        yield made


async def free(records: Records) -> list[str]:
    found = await coins_sql.free_coins(records.conn, NET, [HOT], reorg_depth_max=DEPTH_MAX)
    assert set(found) <= {HOT}
    return [coin.id for coin in found.get(HOT, [])]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"confirm_height": 20},
        {"status": "detected"},
        {"height": 2, "block_id": "long forgotten"},
    ],
)
async def test_a_coin_in_a_block_deep_enough_is_free(
    records: Records, changes: dict[str, object]
) -> None:
    await records.coin("t1:0", **changes)
    found = await coins_sql.free_coins(records.conn, NET, [HOT], reorg_depth_max=DEPTH_MAX)
    assert found == {HOT: [Coin("t1:0", 100)]}


@pytest.mark.parametrize(
    "changes",
    [
        {"confirm_height": 21},
        {"status": "orphaned"},
        {"block_id": "left the chain"},
        {"height": 3, "block_id": "left the chain"},
        {"claimed": True},
        {"contract": "token"},
        {"transfer_index": "log:0"},
        {"purpose": "deposit"},
        {"address": "another"},
        {"network": OTHER_NET},
    ],
)
async def test_but_for_any_of_these_it_is_not(records: Records, changes: dict[str, object]) -> None:
    await records.coin("t1:0", **changes)
    assert await free(records) == []


async def test_the_oldest_coin_comes_first_and_one_that_is_kept_for_a_payment_does_not(
    records: Records,
) -> None:
    for coin in ("t3:0", "t1:0", "t2:0"):
        await records.coin(coin)
    await records.withdrawal(1)
    await records.claim("t1:0", 1)
    assert await free(records) == ["t3:0", "t2:0"]


async def test_a_coin_is_kept_for_one_payment_until_that_is_given_up(records: Records) -> None:
    for coin in ("a:0", "b:0", "c:0"):
        await records.coin(coin)
    for number, status in ((1, "broadcast"), (2, "broadcast"), (3, "failed")):
        await records.withdrawal(number, status)
    await coins_sql.claim_coins(records.conn, NET, [("a:0", 1), ("b:0", 3)])
    await coins_sql.claim_coins(records.conn, NET, [("a:0", 1), ("b:0", 1), ("c:0", 1)])
    assert [await records.is_claimed(coin) for coin in ("a:0", "b:0", "c:0")] == [True] * 3
    assert await records.spare() == {"a:0": None, "b:0": None, "c:0": None}
    with pytest.raises(asyncpg.UniqueViolationError):
        await coins_sql.claim_coins(records.conn, NET, [("a:0", 2)])


async def test_coins_that_the_payment_left_are_spare_from_its_block_on(records: Records) -> None:
    await records.withdrawal(1, "confirmed")
    await records.attempt("x", 1, "superseded", attempt=0, coins=["a:0", "b:0", "c:0"])
    await records.attempt("y", 1, attempt=1, coins=["a:0", "b:0"], height=9)
    await records.attempt("z", 1, "superseded", attempt=2, coins=["a:0", "d:0"])
    for coin in ("a:0", "b:0", "c:0", "d:0"):
        await records.claim(coin, 1)
    await coins_sql.spare_coins(records.conn, [1])
    assert await records.spare() == {"a:0": None, "b:0": None, "c:0": 9, "d:0": 9}
    await coins_sql.keep_spare_coins(records.conn, [1])
    assert set((await records.spare()).values()) == {None}


async def test_a_spare_coin_is_free_when_no_reorganisation_reaches_so_deep(
    records: Records,
) -> None:
    await records.withdrawal(1, "confirmed", coin="a:0")
    for coin, spare_height in (("a:0", 15), ("b:0", 16), ("c:0", None)):
        await records.coin(coin, claimed=True)
        await records.claim(coin, 1, spare_height)
    assert await free(records) == ["a:0"]
    assert await records.spare() == {"b:0": 16, "c:0": None}


@pytest.mark.parametrize(
    ("status", "height", "block_id", "released"),
    [
        ("failed", 8, "b8", True),
        ("failed", 8, "left the chain", False),
        ("failed", 2, "long forgotten", False),
        ("confirmed", 8, "left the chain", True),  # lost once, and paid after all
    ],
)
async def test_coins_of_a_lost_payment_are_kept_while_it_might_land_after_all(
    records: Records, status: str, height: int, block_id: str, *, released: bool
) -> None:
    await records.withdrawal(1, status, coin="first:0")
    await records.loss(1, "taker", height, block_id)
    await records.coin("a:0", claimed=True)
    await records.claim("a:0", 1, spare_height=height)
    assert await free(records) == (["a:0"] if released else [])
    assert await records.is_claimed("a:0") is not released
    assert not await records.conn.fetchval("SELECT nonce_released FROM withdrawals")


async def test_a_lost_payment_is_never_opened_again_once_its_first_coin_is_anothers(
    records: Records,
) -> None:
    await records.withdrawal(1, "failed", coin="a:0")
    await records.withdrawal(2, "failed", coin="b:0")
    await records.coin("a:0", claimed=True)
    await records.claim("a:0", 1, spare_height=8)
    await records.claim("b:0", 2, spare_height=16)
    assert await free(records) == ["a:0"]
    rows = await records.conn.fetch("SELECT nonce_released FROM withdrawals ORDER BY withdrawal_id")
    assert [row["nonce_released"] for row in rows] == [True, False]


async def vital(records: Records, *withdrawals: int) -> dict[int, frozenset[str]]:
    return await losses_sql.vital_coins(records.conn, NET, withdrawals)


async def test_vital_is_what_every_attempt_spends_whatever_became_of_it(records: Records) -> None:
    await records.withdrawal(1)
    await records.attempt("x", 1, "superseded", attempt=0, coins=["a:0", "b:0"])
    await records.attempt("y", 1, attempt=1, coins=["a:0", "c:0", "b:0"])
    await records.attempt("z", 1, attempt=2, coins=["a:0", "c:0"])
    assert await vital(records, 1) == {1: frozenset({"a:0"})}


async def test_of_a_payment_in_a_block_nothing_is_vital(records: Records) -> None:
    await records.withdrawal(1)
    await records.attempt("x", 1, attempt=0, coins=["a:0"])
    await records.attempt("y", 1, attempt=1, coins=["a:0"], height=9)
    assert await vital(records, 1) == {}


async def test_vital_too_is_what_our_own_unmined_transactions_spend_that_made_a_coin(
    records: Records,
) -> None:
    for number in (1, 2, 3):
        await records.withdrawal(number)
    await records.attempt("p", 2, attempt=0, coins=["root:0", "p-alone:0"])
    await records.attempt("q", 2, attempt=1, coins=["root:0"])
    await records.attempt("m", 3, coins=["mined:0"], height=9)
    await records.attempt("x", 1, attempt=0, coins=["p:1", "m:1"])
    await records.attempt("y", 1, attempt=1, coins=["q:1", "m:1"])
    assert await vital(records, 1) == {1: frozenset({"root:0", "m:1"})}


async def takers(records: Records, *coins: str) -> list[Taker]:
    return await losses_sql.coin_takers(records.conn, NET, {1: frozenset(coins)})


@pytest.mark.parametrize(
    ("spends", "claimed_by", "height", "found"),
    [
        (["a:0"], 2, 9, True),
        (["b:0"], 2, 9, False),
        (["a:0"], 2, None, False),
        (["a:0"], 1, 9, False),
    ],
)
async def test_another_withdrawal_of_ours_took_a_coin_if_it_spent_it_in_a_block(
    records: Records, spends: list[str], claimed_by: int, height: int | None, *, found: bool
) -> None:
    await records.withdrawal(1)
    await records.withdrawal(2)
    await records.claim("a:0", claimed_by)
    await records.attempt("taker", claimed_by, coins=spends, height=height)
    expected = [Taker(1, "taker", 9, "b9", ours=True)] if found else []
    assert await takers(records, "a:0") == expected


@pytest.mark.parametrize(
    ("height", "changes", "found"),
    [
        (5, {}, True),
        (9, {"status": "confirmed"}, True),
        (4, {}, False),  # before the coin was there
        (9, {"status": "orphaned"}, False),
        (9, {"status": "disowned"}, False),
        (9, {"block_id": "left the chain"}, False),
        (9, {"address": "another wallet"}, False),
    ],
)
async def test_a_transaction_that_is_not_ours_may_have_taken_a_coin_that_was_there(
    records: Records, height: int, changes: dict[str, object], *, found: bool
) -> None:
    await records.withdrawal(1)
    await records.coin("a:0", height=5)
    await records.coin("b:0", height=12)
    await records.cost("taker", height, **changes)
    expected = [Taker(1, "taker", height, f"b{height}", ours=False)] if found else []
    assert await takers(records, "a:0", "b:0") == expected


@pytest.mark.parametrize(("height", "found"), [(2, True), (3, False)])
async def test_what_is_older_than_the_blocks_we_remember_stands(
    records: Records, height: int, *, found: bool
) -> None:
    await records.withdrawal(1)
    await records.coin("a:0", height=2)
    await records.cost("taker", height, block_id="forgotten")
    expected = [Taker(1, "taker", height, "forgotten", ours=False)] if found else []
    assert await takers(records, "a:0") == expected


async def test_what_we_signed_and_what_made_the_coin_took_none_from_outside(
    records: Records,
) -> None:
    await records.withdrawal(1)
    await records.coin("a:0")
    await records.attempt("ours", 1, coins=["a:0"])
    await records.cost("ours", 9)
    await records.cost("a", 5)
    assert await takers(records, "a:0") == []


@pytest.mark.parametrize(
    ("changes", "unseen"),
    [
        ({"sent": LONG_S}, True),
        ({"sent": LONG_S, "state": "signed"}, True),
        ({"sent": None, "created": LONG_S}, True),
        ({"sent": -LONG_S}, True),  # the clock was set back
        ({"sent": SHORT_S, "created": LONG_S}, False),
        ({"sent": -SHORT_S}, False),
        ({"sent": None, "created": SHORT_S}, False),
        ({"sent": LONG_S, "state": "superseded"}, False),
        ({"sent": LONG_S, "coin": None}, False),
    ],
)
async def test_a_payment_in_coins_is_unseen_some_time_after_it_was_last_sent(
    records: Records, changes: dict[str, object], *, unseen: bool
) -> None:
    changes = dict(changes)
    sent, created = changes.pop("sent"), changes.pop("created", SHORT_S)
    assert isinstance(created, float)
    times = {
        "last_sent_at": records.ago(sent) if isinstance(sent, float) else None,
        "created_at": records.ago(created),
    }
    await records.withdrawal(1, coin="a:0")
    state = str(changes.pop("state", "broadcast"))
    await records.attempt("x", 1, state, **{"coin": "a:0", "coins": ["a:0"]} | changes | times)
    found = await losses_sql.unseen_withdrawals(records.conn, NET, AGE_S)
    assert found == ([1] if unseen else [])


async def test_what_has_a_payment_in_a_block_is_not_unseen(records: Records) -> None:
    await records.withdrawal(1, coin="a:0")
    await records.attempt("x", 1, coin="a:0", coins=["a:0"], created_at=records.ago(LONG_S))
    await records.attempt("y", 1, attempt=1, coins=["a:0"], height=9)
    assert await losses_sql.unseen_withdrawals(records.conn, NET, AGE_S) == []


@pytest.mark.parametrize(
    ("status", "height", "block_id", "shaken"),
    [
        ("failed", 8, "left the chain", True),
        ("failed", 3, "left the chain", True),
        ("failed", 8, "b8", False),
        ("failed", 2, "long forgotten", False),
        ("confirmed", 8, "left the chain", False),
    ],
)
async def test_a_loss_is_shaken_when_its_block_left_the_chain(
    records: Records, status: str, height: int, block_id: str, *, shaken: bool
) -> None:
    await records.withdrawal(1, status)
    await records.loss(1, "taker", height, block_id)
    found = await losses_sql.shaken_losses(records.conn, NET)
    assert found == ([1] if shaken else [])


@pytest.mark.parametrize(
    ("status", "coins", "asked_for", "elsewhere"),
    [
        ("broadcast", ["x:0", "a:0"], 1, True),
        ("confirmed", ["a:0"], 1, True),
        ("failed", ["a:0"], 1, False),
        ("broadcast", ["a:0"], 2, False),
        ("broadcast", ["b:0"], 1, False),
    ],
)
async def test_a_coin_is_anothers_while_that_is_not_given_up(
    records: Records, status: str, coins: list[str], asked_for: int, *, elsewhere: bool
) -> None:
    await records.withdrawal(2, status)
    await records.claim("a:0", 2)
    found = await losses_sql.claimed_elsewhere(records.conn, NET, coins, asked_for)
    assert found is elsewhere


async def test_a_loss_spares_what_was_left_and_keeps_what_was_taken_from_all_orders(
    records: Records,
) -> None:
    await records.withdrawal(1, "failed")
    await records.withdrawal(2)
    for coin in ("a:0", "b:0", "besides:0"):
        await records.coin(coin, claimed=coin != "besides:0")
    await records.coin("users:0", purpose="deposit", address="alice")
    for coin, number in (("a:0", 1), ("b:0", 1), ("other:0", 2)):
        await records.claim(coin, number)
    taker = Taker(1, "taker", 8, "b8", ours=False)
    taken = ["a:0", "besides:0", "users:0", "other:0"]
    await losses_sql.record_loss(records.conn, NET, taker, taken)
    kept = {"a:0": None, "b:0": 8, "besides:0": None, "other:0": None}
    assert await records.spare() == kept
    assert await records.is_claimed("besides:0")
    assert not await records.is_claimed("users:0")
    again = Taker(1, "successor", 9, "b9", ours=False)
    await losses_sql.record_loss(records.conn, NET, again, ["a:0"])
    assert await loss_of(records) == ("successor", 9, "b9")
    assert (await records.spare())["b:0"] == 9


async def loss_of(records: Records) -> tuple[str, int, str]:
    row = await records.conn.fetchrow("SELECT transaction_id, height, block_id FROM coin_losses")
    assert row is not None
    return (row["transaction_id"], row["height"], row["block_id"])


@pytest.mark.parametrize("ours", [False, True])
@pytest.mark.parametrize(
    ("status", "taker_stands", "spare_height"),
    [("failed", True, 12), ("confirmed", True, 8), ("failed", False, 8)],
)
async def test_spare_coins_wait_from_the_block_on_that_their_taker_moved_to(
    records: Records, status: str, spare_height: int, *, ours: bool, taker_stands: bool
) -> None:
    await records.withdrawal(1, status)
    await records.withdrawal(2)
    await records.loss(1, "taker", 8, "left the chain")
    await records.claim("a:0", 1)
    await records.claim("b:0", 1, spare_height=8)
    if ours:
        await records.attempt("taker", 2, height=12 if taker_stands else None)
    else:
        await records.cost("taker", 12, status="confirmed" if taker_stands else "orphaned")
    await losses_sql.renew_losses(records.conn, NET)
    moved = ("taker", 12, "b12") if taker_stands else ("taker", 8, "left the chain")
    assert await loss_of(records) == moved
    assert await records.spare() == {"a:0": None, "b:0": spare_height}
