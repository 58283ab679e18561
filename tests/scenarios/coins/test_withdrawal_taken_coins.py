"""A payment whose coin another transaction took: it is given up, and not before that is final.

What took the coin is in a block. Whether that block stays is a matter of depth, and until it is
deep enough nothing is given back.
"""

from __future__ import annotations

from chain_adapters.types import Coin
from tests.support.coin_withdrawals import (
    ALICE_MINOR,
    PAID,
    REORG_DEPTH_MAX,
    WHOLE,
    PayingCoinWorld,
    Spending,
    order,
    order_twice_tried,
)
from tests.support.taken_coins import FOREIGN, cancel, paid_from, resume, take
from tests.support.withdrawals import CONFIRMATIONS, FEE_MINOR


async def test_a_coin_that_somebody_else_spent_halts_the_wallet_and_its_money_comes_back_when_final(
    world: PayingCoinWorld,
) -> None:
    await world.fund(WHOLE, WHOLE)
    address = await order(world, "order")
    await take(world, "order")
    await world.retry()
    assert await world.halted() == FOREIGN
    assert (await world.withdrawal("order")).status == "broadcast"
    assert await world.balance("available") == ALICE_MINOR - PAID - FEE_MINOR
    await world.mine(CONFIRMATIONS - 1)
    await world.replace.run_once()
    await world.retry()
    lost = await world.withdrawal("order")
    assert (lost.status, lost.reason) == ("failed", "coin_taken")
    assert await world.states("order") == {"superseded": 1}, "it may be sent again"
    assert await world.balance("available") == ALICE_MINOR
    assert await world.balance("pending") == 0
    assert await world.halted() == FOREIGN
    for _ in range(3):
        await world.retry()
        await world.mine()
    assert len(await world.spendings()) == 1
    assert await world.paid(address) == []
    assert world.event_types().count("withdrawal.failed") == 1


async def test_a_taken_coin_that_a_reorganisation_gives_back_pays_as_ordered(
    world: PayingCoinWorld,
) -> None:
    await world.fund(WHOLE)
    address = await order(world, "order")
    await take(world, "order")
    await world.retry()
    await world.reorganise(1)
    await world.finish()
    assert await world.paid(address) == [PAID]
    await world.check_no_double_payment()
    await world.check_books()


async def test_a_payment_that_was_given_up_and_lands_all_the_same_takes_its_money_again(
    world: PayingCoinWorld,
) -> None:
    await world.fund(WHOLE)
    address = await order(world, "order")
    [ours] = await world.spendings("order")
    await take(world, "order")
    await world.mine(CONFIRMATIONS)
    await world.retry()
    assert (await world.withdrawal("order")).status == "failed"
    await world.reorganise(CONFIRMATIONS + 1)
    await world.land(ours)
    await world.mine(CONFIRMATIONS)
    assert (await world.withdrawal("order")).status == "confirmed"
    assert await world.paid(address) == [PAID]
    await world.check_books()


async def coins_of_two(world: PayingCoinWorld) -> Coin:
    """Order what takes two coins and lose one of them; return the other."""
    await world.fund(300_000, 200_000)
    await order(world, "order")
    [ours] = await world.spendings("order")
    lost, left = sorted(
        (c for c in await world.node.coins(world.hot_wallet) if c.id in ours.coins),
        key=lambda coin: coin.amount_minor,
    )
    taker = await world.sign_elsewhere(world.node.new_address(), 100_000, lost)
    await world.land(taker)
    await world.mine(CONFIRMATIONS - 1)
    await world.retry()
    assert (await world.withdrawal("order")).status == "failed"
    await resume(world)
    return left


async def test_the_coins_that_were_not_taken_are_free_when_no_reorganisation_reaches_so_deep(
    world: PayingCoinWorld,
) -> None:
    left = await coins_of_two(world)
    address = await order(world, "other", 250_000)
    await world.mine(REORG_DEPTH_MAX - CONFIRMATIONS)
    await world.retry()
    assert (await world.withdrawal("other")).status == "approved"
    await world.mine()
    await world.retry()
    [other] = await world.spendings("other")
    assert other.coins == {left.id}
    await world.mine(CONFIRMATIONS)
    assert await world.paid(address) == [250_000]


async def test_and_not_while_what_took_the_others_has_left_the_chain(
    world: PayingCoinWorld,
) -> None:
    left = await coins_of_two(world)
    await world.reorganise(CONFIRMATIONS)
    await world.mine(REORG_DEPTH_MAX + 1)
    await order(world, "other", 250_000)
    await world.retry()
    assert (await world.withdrawal("other")).status == "approved"
    assert left.id in await world.claims()


async def test_a_coin_that_somebody_took_besides_is_spent_by_no_order(
    world: PayingCoinWorld,
) -> None:
    await world.fund(WHOLE, 2 * WHOLE)
    await order(world, "order")
    taker = await world.sign_elsewhere(
        world.node.new_address(), 2_500_000, *await world.node.coins(world.hot_wallet)
    )
    await world.land(taker)
    await world.mine(CONFIRMATIONS - 1)
    await world.retry()
    assert taker.coins <= set(await world.claims())


async def pay_elsewhere(world: PayingCoinWorld, address: str, amount_minor: int) -> Spending:
    """Somebody else pays the recipient from the coin of the order."""
    taker = await world.sign_elsewhere(address, amount_minor, await paid_from(world, "order"))
    await world.land(taker)
    await world.mine(CONFIRMATIONS - 1)
    await world.retry()
    assert await world.halted() == FOREIGN
    return taker


async def test_what_pays_the_recipient_less_is_left_to_an_operator(world: PayingCoinWorld) -> None:
    await world.fund(WHOLE)
    address = await order(world, "order")
    taker = await pay_elsewhere(world, address, PAID - 1)
    await world.retry()
    assert (await world.withdrawal("order")).status == "broadcast"
    assert (await cancel(world, "order", taker.transaction_id)).status == "failed"


async def test_who_was_paid_more_by_somebody_else_is_not_paid_again(
    world: PayingCoinWorld,
) -> None:
    await world.fund(WHOLE)
    address = await order(world, "order")
    await pay_elsewhere(world, address, PAID + 1)
    await world.mine()
    assert (await world.withdrawal("order")).status == "confirmed"
    assert await world.paid(address) == [PAID + 1]


async def test_what_took_the_coins_of_two_orders_and_paid_one_ends_both(
    world: PayingCoinWorld,
) -> None:
    await world.fund(WHOLE, WHOLE)
    address, other = await order(world, "order"), await order(world, "other")
    coins = await world.node.coins(world.hot_wallet)
    taker = await world.sign_elsewhere(address, PAID, *coins)
    assert len(taker.coins) == 1
    taker = await world.sign_elsewhere(address, 1_500_000, *coins)
    assert len(taker.coins) == 2
    await world.land(taker)
    for _ in range(CONFIRMATIONS + 1):
        await world.retry()
        await world.mine()
    assert (await world.withdrawal("order")).status == "confirmed"
    assert (await world.withdrawal("other")).reason == "coin_taken"
    assert (await world.paid(address), await world.paid(other)) == ([1_500_000], [])


async def test_nothing_is_given_back_for_one_transaction_while_another_pays_the_recipient(
    world: PayingCoinWorld,
) -> None:
    """Two that are not ours: one took a coin for nothing, the other paid from the second coin."""
    await world.fund(500_000, 400_000)
    address = await order(world, "order", 600_000)
    [ours] = await world.spendings("order")
    one, other = [c for c in await world.node.coins(world.hot_wallet) if c.id in ours.coins]
    taker = await world.sign_elsewhere(world.node.new_address(), 100_000, one)
    payer = await world.sign_elsewhere(address, 300_000, other)
    await world.land(taker, payer)
    await world.mine(CONFIRMATIONS)
    for _ in range(2):
        await world.retry()
    assert (await world.withdrawal("order")).status == "broadcast"
    assert await world.halted() == FOREIGN


# Another branch of the chain


async def test_what_spent_the_change_of_another_branch_is_given_up_when_that_is_gone_for_good(
    world: PayingCoinWorld,
) -> None:
    """The first order's other attempt landed: the second can never land, and nobody is to blame."""
    await world.fund(WHOLE)
    first, early, late = await order_twice_tried(world, "first")
    await world.land(early)
    await world.mine(CONFIRMATIONS)
    second = await order(world, "second")
    await world.reorganise(CONFIRMATIONS + 2)
    await world.land(late)
    await world.retry()
    assert (await world.withdrawal("second")).status == "broadcast"
    await world.mine(CONFIRMATIONS)
    assert (await world.withdrawal("first")).status == "confirmed"
    await world.retry()
    lost = await world.withdrawal("second")
    assert (lost.status, lost.reason) == ("failed", "coin_taken")
    assert await world.halted() is None
    assert (await world.paid(first), await world.paid(second)) == ([PAID], [])
    assert await world.balance("available") == ALICE_MINOR - PAID - FEE_MINOR
    await world.check_no_double_payment()
    await world.check_books()


async def test_of_attempts_that_two_branches_were_built_on_one_lands_again(
    world: PayingCoinWorld,
) -> None:
    """The change of both is spent further: each is needed, and neither may hold the other up."""
    await world.fund(WHOLE)
    first, early, late = await order_twice_tried(world, "first", 100_000)
    await world.land(early)
    second = await order(world, "second", 100_000)
    await world.reorganise(1)
    await world.land(late)
    third = await order(world, "third", 100_000)
    assert [len(await world.spendings(name)) for name in ("second", "third")] == [1, 1]
    await world.reorganise(1)
    await world.finish()
    assert await world.paid(first) == [100_000]
    paid = [await world.paid(address) for address in (second, third)]
    assert sorted(paid) == [[], [100_000]]
    reasons = [(await world.withdrawal(name)).reason for name in ("second", "third")]
    assert set(reasons) == {None, "coin_taken"}
    await world.check_no_double_payment()
    await world.check_books()


async def test_another_orders_payment_to_the_same_recipient_is_not_taken_for_this_one(
    world: PayingCoinWorld,
) -> None:
    await world.fund(WHOLE)
    address, early, late = await order_twice_tried(world, "first")
    await world.land(early)
    await world.request(world.command("second", PAID, address=address))
    await world.reorganise(1)
    await world.land(late)
    await world.mine(CONFIRMATIONS)
    await world.retry()
    assert (await world.withdrawal("first")).status == "confirmed"
    assert (await world.withdrawal("second")).reason == "coin_taken"
    assert await world.paid(address) == [PAID]
