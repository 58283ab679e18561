"""A payment in coins that a restored database forgot is booked, and its coins are gone."""

from __future__ import annotations

import pytest

from agents.by_operator.adoption import NotAdoptable
from tests.support.coin_withdrawals import PAID, WHOLE, PayingCoinWorld, order
from tests.support.forgotten import adopt, pay_before, start_signer, stop_signer
from tests.support.withdrawals import CONFIRMATIONS


async def test_a_forgotten_payment_takes_its_coins_with_it_and_its_change_is_ours(
    world: PayingCoinWorld,
) -> None:
    await world.fund(WHOLE, WHOLE)
    stop_signer(world)
    await order(world, "order")
    [coin, _] = await world.node.coins(world.hot_wallet)
    transaction_id = await pay_before(world, await world.withdrawal("order"), coin)
    await world.mine(CONFIRMATIONS)
    await adopt(world, "order", transaction_id)
    claims = await world.claims()
    assert list(claims) == [coin.id]
    await world.mine()
    await start_signer(world)
    await order(world, "next", WHOLE + PAID // 4)  # takes the change, and the coin that is left
    await world.finish()
    assert [one.status for one in await world.withdrawals()] == ["confirmed", "confirmed"]
    assert await world.halted() is None
    await world.check_no_double_payment()
    await world.check_books()


async def test_a_forgotten_payment_is_not_made_again_from_another_coin(
    world: PayingCoinWorld,
) -> None:
    await world.fund(WHOLE, WHOLE)
    stop_signer(world)
    address = await order(world, "order")
    [_, spent] = await world.node.coins(world.hot_wallet)
    transaction_id = await pay_before(world, await world.withdrawal("order"), spent)
    await world.mine(CONFIRMATIONS)
    await start_signer(world)
    await world.retry()
    await world.mine(CONFIRMATIONS)
    assert await world.paid(address) == [PAID]
    assert transaction_id in str(await world.halted())


async def test_if_its_block_leaves_the_chain_its_own_bytes_are_sent_again(
    world: PayingCoinWorld,
) -> None:
    await world.fund(WHOLE)
    stop_signer(world)
    address = await order(world, "order")
    [coin] = await world.node.coins(world.hot_wallet)
    transaction_id = await pay_before(world, await world.withdrawal("order"), coin)
    await world.mine(CONFIRMATIONS)
    await adopt(world, "order", transaction_id)
    await world.mine()
    await start_signer(world)
    await world.reorganise(CONFIRMATIONS + 1)
    assert (await world.withdrawal("order")).status == "broadcast"
    await world.retry()
    await world.replace_due()
    await world.finish()
    assert [one.transaction_id for one in await world.attempts("order")] == [transaction_id]
    assert await world.paid(address) == [PAID]
    await world.check_books()


async def test_a_payment_from_a_coin_that_was_given_away_is_booked_once_that_order_is_given_up(
    world: PayingCoinWorld,
) -> None:
    """The signer ran before the payment was booked, and gave its coin to another order."""
    await world.fund(WHOLE)
    [coin] = await world.node.coins(world.hot_wallet)
    await order(world, "other")
    stop_signer(world)
    await order(world, "forgotten")
    await world.node.chain.clear_pool()
    transaction_id = await pay_before(world, await world.withdrawal("forgotten"), coin)
    await world.mine(CONFIRMATIONS)
    with pytest.raises(NotAdoptable, match="kept for another withdrawal"):
        await adopt(world, "forgotten", transaction_id)
    await world.retry()
    assert (await world.withdrawal("other")).reason == "coin_taken"
    await adopt(world, "forgotten", transaction_id)
    await world.mine()
    assert (await world.withdrawal("forgotten")).status == "confirmed"
    await world.retry()
    assert await world.paid((await world.withdrawal("other")).address) == []
    await world.check_books()
