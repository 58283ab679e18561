"""A transaction took coins of two orders to one recipient: an operator says which it paid."""

from __future__ import annotations

import asyncio

import pytest

from custody.approve import MayBePaid, NotWaiting
from tests.support.coin_withdrawals import ALICE_MINOR, PayingCoinWorld, Spending, order
from tests.support.races import until_blocked
from tests.support.taken_coins import cancel, resume
from tests.support.withdrawals import CONFIRMATIONS, FEE_MINOR

ORDERED = 500_000
"""What two coins of this wallet pay, one of each order's being enough for the other's loss."""


async def take_from_both(world: PayingCoinWorld, amount_minor: int = ORDERED) -> tuple[str, str]:
    """Lose a coin of each of two orders to a transaction that pays their recipient; name both."""
    await world.fund(*[300_000] * 4)
    address = await order(world, "one", ORDERED)
    await world.request(world.command("other", ORDERED, address=address))
    taker = await take(world, address, amount_minor)
    await world.retry()
    return address, taker.transaction_id


async def take(world: PayingCoinWorld, address: str, amount_minor: int) -> Spending:
    """Pay the recipient from one coin of each order, or from all of them if it takes all."""
    spent = [await world.spendings(name) for name in ("one", "other")]
    coins = await world.node.coins(world.hot_wallet)
    each = [[c for c in coins if c.id in ours.coins] for (ours,) in spent]
    enough = [c for pair in each for c in pair] if amount_minor > ORDERED else [p[0] for p in each]
    taker = await world.sign_elsewhere(address, amount_minor, *enough)
    assert all(taker.coins & ours.coins for (ours,) in spent)
    await world.land(taker)
    return taker


async def test_the_order_that_an_operator_names_is_confirmed_and_the_others_money_is_back(
    world: PayingCoinWorld,
) -> None:
    address, taker = await take_from_both(world)
    with pytest.raises(MayBePaid, match="not as deep yet"):
        await cancel(world, "one", taker, paid_order="other")
    await world.mine(CONFIRMATIONS)
    await world.retry()
    waiting = [(await world.withdrawal(name)).status for name in ("one", "other")]
    assert waiting == ["broadcast", "broadcast"]
    with pytest.raises(MayBePaid, match="what was ordered"):
        await cancel(world, "one", taker)
    given_up = await cancel(world, "one", taker, paid_order="other")
    assert (given_up.status, given_up.reason) == ("failed", "coin_taken")
    with pytest.raises(MayBePaid):
        await cancel(world, "other", taker, paid_order="one")
    with pytest.raises(MayBePaid):
        await cancel(world, "other", taker)
    await world.retry()
    await world.mine(CONFIRMATIONS)
    assert (await world.withdrawal("other")).status == "confirmed"
    assert await world.paid(address) == [ORDERED]
    assert await world.balance("available") == ALICE_MINOR - ORDERED - FEE_MINOR
    held = await world.balance("hot_wallet", owner="")
    assert held == sum(await world.paid(world.hot_wallet))


async def test_what_pays_enough_for_both_orders_is_no_reason_to_give_one_up(
    world: PayingCoinWorld,
) -> None:
    _, taker = await take_from_both(world, 2 * ORDERED)
    await world.mine(CONFIRMATIONS)
    for names in (("one", "other"), ("other", "one")):
        with pytest.raises(MayBePaid, match="enough for both"):
            await cancel(world, names[0], taker, paid_order=names[1])


async def test_an_order_that_was_not_paid_by_it_is_not_named_in_vain(
    world: PayingCoinWorld,
) -> None:
    address, taker = await take_from_both(world)
    await world.fund(400_000, 400_000)
    await world.mine(CONFIRMATIONS)
    await resume(world)
    await world.request(world.command("beside", 350_000, address=address))
    await order(world, "elsewhere", 350_000)
    for named, words in (
        ("nobody's", "no other withdrawal"),
        ("one", "no other withdrawal"),
        ("elsewhere", "another recipient"),
        ("beside", "took no coin"),
    ):
        with pytest.raises((MayBePaid, NotWaiting), match=words):
            await cancel(world, "one", taker, paid_order=named)
    assert (await world.withdrawal("one")).status == "broadcast"


async def test_of_two_operators_who_name_each_others_order_at_once_the_second_is_refused(
    world: PayingCoinWorld,
) -> None:
    _, taker = await take_from_both(world)
    await world.mine(CONFIRMATIONS)
    async with world.pool.acquire() as conn, conn.transaction():
        await conn.execute("SELECT FROM withdrawals FOR UPDATE")
        words = [
            asyncio.create_task(cancel(world, given_up, taker, paid_order=paid))
            for given_up, paid in (("one", "other"), ("other", "one"))
        ]
        await until_blocked(world.pool, waiting=2)
    results = await asyncio.gather(*words, return_exceptions=True)
    assert [isinstance(result, MayBePaid) for result in results].count(True) == 1
    await world.retry()
    await world.mine(CONFIRMATIONS)
    ends = {(await world.withdrawal(name)).status for name in ("one", "other")}
    assert ends == {"failed", "confirmed"}
