"""Payments that lost a coin, told by those who would be paid twice for it, or would never be paid.

Several transactions that are not ours, coins beside the first, chains that turn back after all was
decided, nodes that lie, and databases that have forgotten.
"""

from __future__ import annotations

import asyncio
from typing import NamedTuple

import pytest

from chain_adapters.types import Coin
from chain_adapters.utxo.adapter import UtxoAdapter
from custody.approve import MayBePaid
from sql import chain as chain_sql
from sql import coin_losses as losses_sql
from tests.support.coin_withdrawals import (
    ALICE_MINOR,
    REORG_DEPTH_MAX,
    WHOLE,
    PayingCoinWorld,
    Spending,
    order,
)
from tests.support.mortal import Killed
from tests.support.taken_coins import cancel, resume
from tests.support.withdrawals import CONFIRMATIONS, FEE_MINOR


class TwoCoins(NamedTuple):
    """An order that takes two coins, and another coin of the wallet."""

    address: str
    first: Coin
    second: Coin
    spare: Coin


async def order_of_two(world: PayingCoinWorld) -> TwoCoins:
    """Order what takes two coins of three."""
    await world.fund(500_000, 400_000, 300_000)
    address = await order(world, "order", 600_000)
    [ours] = await world.spendings("order")
    first, second, spare = sorted(
        await world.node.coins(world.hot_wallet), key=lambda coin: -coin.amount_minor
    )
    assert ours.coins == {first.id, second.id}
    return TwoCoins(address, first, second, spare)


async def settle_for(world: PayingCoinWorld, blocks: int) -> None:
    """Mine, and look after each block who took what."""
    for _ in range(blocks):
        await world.mine()
        await world.retry()


# Several took coins of one payment


async def pay_beside_a_thief(world: PayingCoinWorld) -> tuple[str, Spending]:
    """Lose a coin of an order, whose recipient is paid from the other; return him and the loss."""
    address, first, second, spare = await order_of_two(world)
    payment = await world.sign_elsewhere(address, 600_000, second, spare)
    thief = await world.sign_elsewhere(world.node.new_address(), 450_000, first)
    await world.land(thief, payment)
    return address, thief


async def test_nothing_is_given_back_for_one_taker_while_another_pays_the_recipient(
    world: PayingCoinWorld,
) -> None:
    """A database restored from a backup forgot both: this order's payment and another one's."""
    address, _ = await pay_beside_a_thief(world)
    await settle_for(world, CONFIRMATIONS + 2)
    assert await world.paid(address) == [600_000]
    assert (await world.withdrawal("order")).status != "failed"
    assert await world.balance("available") < ALICE_MINOR


async def test_an_operator_who_names_the_one_that_did_not_pay_is_refused_for_the_one_that_did(
    world: PayingCoinWorld,
) -> None:
    _, thief = await pay_beside_a_thief(world)
    await world.mine(CONFIRMATIONS)
    with pytest.raises(MayBePaid):
        await cancel(world, "order", thief.transaction_id)


async def test_a_payment_that_lands_while_an_operator_asks_nodes_keeps_the_money_too(
    world: PayingCoinWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    address, first, second, spare = await order_of_two(world)
    payment = await world.sign_elsewhere(address, 600_000, second, spare)
    thief = await world.sign_elsewhere(world.node.new_address(), 450_000, first)
    await world.land(thief)
    await world.mine(CONFIRMATIONS)
    assert isinstance(world.adapter, UtxoAdapter)
    ask = world.adapter.fetch_spending

    async def ask_and_land(transaction_id: str) -> object:
        monkeypatch.undo()
        await world.land(payment)
        return await ask(transaction_id)

    monkeypatch.setattr(world.adapter, "fetch_spending", ask_and_land)
    with pytest.raises(MayBePaid, match="came meanwhile"):
        await cancel(world, "order", thief.transaction_id)
    with pytest.raises(MayBePaid, match="pays the recipient"):
        await cancel(world, "order", thief.transaction_id)


async def test_a_payment_that_takes_anothers_place_while_nodes_are_asked_keeps_the_money_too(
    world: PayingCoinWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As many that are not ours as before, but in another branch others than before."""
    address, first, second, spare = await order_of_two(world)
    payment = await world.sign_elsewhere(address, 600_000, second, spare)
    thief = await world.sign_elsewhere(world.node.new_address(), 450_000, first)
    harmless = await world.sign_elsewhere(world.node.new_address(), 200_000, spare)
    await world.land(thief)
    await world.mine(CONFIRMATIONS)
    await world.land(harmless)
    assert isinstance(world.adapter, UtxoAdapter)
    ask = world.adapter.fetch_spending

    async def ask_and_turn_back(transaction_id: str) -> object:
        monkeypatch.undo()
        told = await ask(transaction_id), await ask(harmless.transaction_id)
        monkeypatch.setattr(world.adapter, "fetch_spending", lambda _: answer(told[1]))
        await world.reorganise(1)
        await world.land(payment)
        return told[0]

    async def answer(told: object) -> object:
        return told

    monkeypatch.setattr(world.adapter, "fetch_spending", ask_and_turn_back)
    await world.retry()
    assert await world.paid(address) == [600_000]
    assert (await world.withdrawal("order")).status != "failed"


async def test_a_forgotten_payment_from_other_coins_keeps_the_money_from_going_back(
    world: PayingCoinWorld,
) -> None:
    """Restored and forgotten, and paid from a coin that the payment now signed does not spend."""
    await world.fund(700_000, WHOLE)
    address = await order(world, "order", 600_000)
    [ours] = await world.spendings("order")
    coins = await world.node.coins(world.hot_wallet)
    [taken] = [c for c in coins if c.id in ours.coins]
    [other] = [c for c in coins if c.id not in ours.coins]
    payment = await world.sign_elsewhere(address, 600_000, other)
    thief = await world.sign_elsewhere(world.node.new_address(), 650_000, taken)
    await world.land(thief, payment)
    await settle_for(world, CONFIRMATIONS + 2)
    assert await world.paid(address) == [600_000]
    assert (await world.withdrawal("order")).status != "failed"


async def test_what_pays_from_another_coin_than_the_first_is_the_payment_too(
    world: PayingCoinWorld,
) -> None:
    address, _, second, spare = await order_of_two(world)
    payment = await world.sign_elsewhere(address, 600_000, second, spare)
    await world.land(payment)
    await settle_for(world, CONFIRMATIONS + 1)
    assert (await world.withdrawal("order")).status == "confirmed"
    assert await world.paid(address) == [600_000]
    await resume(world)
    await world.retry()
    assert await world.halted() is None
    await world.check_no_double_payment()
    await world.check_books()


@pytest.mark.parametrize("lands", ["found", "ours", "another"])
async def test_and_after_a_reorganisation_any_of_them_is_and_only_one(
    world: PayingCoinWorld, lands: str
) -> None:
    address, first, second, spare = await order_of_two(world)
    [ours] = await world.spendings("order")
    found = await world.sign_elsewhere(address, 600_000, second, spare)
    another = await world.sign_elsewhere(address, 600_000, first, spare)
    await world.land(found)
    await settle_for(world, CONFIRMATIONS)
    assert (await world.withdrawal("order")).status == "confirmed"
    await world.reorganise(CONFIRMATIONS + 1)
    assert (await world.withdrawal("order")).status == "broadcast"
    await resume(world)
    await world.replace_due()
    await world.land({"found": found, "ours": ours, "another": another}[lands])
    await settle_for(world, CONFIRMATIONS + 1)
    assert await world.paid(address) == [600_000]
    assert await world.balance("available") == ALICE_MINOR - 600_000 - FEE_MINOR
    if lands != "another":  # which shares no coin that all attempts need: an operator has to see it
        assert (await world.withdrawal("order")).status == "confirmed"
        await world.check_books()


# What was decided, and the chain turned back


async def lose_one_of_two(world: PayingCoinWorld) -> tuple[Spending, Coin]:
    """Lose the second coin of an order for good; return what took it and the coin that is left."""
    _, first, second, _ = await order_of_two(world)
    taker = await world.sign_elsewhere(world.node.new_address(), 250_000, second)
    await world.land(taker)
    await settle_for(world, CONFIRMATIONS)
    assert (await world.withdrawal("order")).reason == "coin_taken"
    await resume(world)
    return taker, first


async def check_free(world: PayingCoinWorld, coin: Coin) -> None:
    """Assert that another order spends a coin."""
    await order(world, "other", 400_000)
    await world.retry()
    [other] = await world.spendings("other")
    assert other.coins == {coin.id}


async def test_coins_stay_kept_for_a_payment_that_may_land_however_old_its_loss_is(
    world: PayingCoinWorld,
) -> None:
    """What took a coin has left the chain, and we have forgotten the block that it was in."""
    _, left = await lose_one_of_two(world)
    await world.reorganise(CONFIRMATIONS + 1)
    await world.mine(REORG_DEPTH_MAX + 2)
    async with world.pool.acquire() as conn:
        await chain_sql.prune_blocks(conn, world.network, REORG_DEPTH_MAX)
    await order(world, "other", 400_000)
    await world.retry()
    assert left.id in await world.claims()
    assert (await world.withdrawal("other")).status == "approved"


async def test_coins_are_free_again_though_the_taker_moved_to_another_block(
    world: PayingCoinWorld,
) -> None:
    taker, left = await lose_one_of_two(world)
    await world.node.reorganise(CONFIRMATIONS + 1)
    await world.land(taker)
    await settle_for(world, REORG_DEPTH_MAX + 2)
    await check_free(world, left)


async def test_coins_are_free_again_though_nothing_was_signed_until_their_block_is_forgotten(
    world: PayingCoinWorld,
) -> None:
    _, left = await lose_one_of_two(world)
    await settle_for(world, REORG_DEPTH_MAX + 2)
    async with world.pool.acquire() as conn:
        await chain_sql.prune_blocks(conn, world.network, REORG_DEPTH_MAX - CONFIRMATIONS)
    await check_free(world, left)


@pytest.mark.parametrize("paid_minor", [400_000, 100_000])
async def test_who_was_refunded_and_is_paid_after_a_reorganisation_halts_the_wallet_once(
    world: PayingCoinWorld, paid_minor: int
) -> None:
    """Under an id that is not ours: what was given back is for an operator to get again."""
    await world.fund(WHOLE)
    address = await order(world, "order", 400_000)
    [coin] = await world.node.coins(world.hot_wallet)
    taker = await world.sign_elsewhere(world.node.new_address(), 300_000, coin)
    payment = await world.sign_elsewhere(address, paid_minor, coin)
    await world.land(taker)
    await settle_for(world, CONFIRMATIONS)
    assert (await world.withdrawal("order")).status == "failed"
    await resume(world)
    await world.reorganise(CONFIRMATIONS + 1)
    await world.land(payment)
    await settle_for(world, CONFIRMATIONS)
    halted = await world.halted()
    assert halted is not None
    assert "'order' was given up" in halted
    assert payment.transaction_id in halted
    await resume(world)
    await settle_for(world, 2)
    assert await world.halted() is None


# Two orders, one recipient


async def test_of_two_orders_paid_together_to_one_recipient_none_is_given_back(
    world: PayingCoinWorld,
) -> None:
    """One was paid, and nothing tells which: an operator has to see it."""
    await world.fund(WHOLE, WHOLE)
    address = await order(world, "one", 600_000)
    await world.request(world.command("two", 600_000, address=address))
    coins = await world.node.coins(world.hot_wallet)
    taker = await world.sign_elsewhere(address, 1_100_000, *coins)
    assert len(taker.coins) == 2
    await world.land(taker)
    await settle_for(world, CONFIRMATIONS + 1)
    for order_id in ("one", "two"):
        assert (await world.withdrawal(order_id)).status == "broadcast"
        with pytest.raises(MayBePaid, match="pays the recipient"):
            await cancel(world, order_id, taker.transaction_id)
    assert await world.halted() is not None


# All that waited on what is gone


async def test_what_waits_on_the_change_of_a_lost_payment_is_lost_with_it(
    world: PayingCoinWorld,
) -> None:
    await world.fund(WHOLE)
    [coin] = await world.node.coins(world.hot_wallet)
    one = await order(world, "one", 300_000)
    await world.mine(CONFIRMATIONS)
    two = await order(world, "two", 300_000)
    await world.reorganise(CONFIRMATIONS + 1)
    taker = await world.sign_elsewhere(world.node.new_address(), 900_000, coin)
    await world.land(taker)
    await settle_for(world, CONFIRMATIONS + 1)
    for order_id in ("one", "two"):
        assert (await world.withdrawal(order_id)).reason == "coin_taken"
    assert await world.balance("available") == ALICE_MINOR
    assert await world.balance("pending") == 0
    assert (await world.paid(one), await world.paid(two)) == ([], [])


# Two at once, and deaths


async def taken_for_good(world: PayingCoinWorld) -> Spending:
    """Let another transaction take the coin of an order, and be final; nobody has looked yet."""
    await world.fund(WHOLE)
    await order(world, "order", 400_000)
    [coin] = await world.node.coins(world.hot_wallet)
    taker = await world.sign_elsewhere(world.node.new_address(), 300_000, coin)
    await world.land(taker)
    await world.mine(CONFIRMATIONS)
    return taker


async def test_a_death_while_giving_up_gives_nothing_back_and_the_next_try_does_once(
    world: PayingCoinWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    await taken_for_good(world)

    async def die(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(losses_sql, "record_loss", die)
        with pytest.raises(Killed):
            await world.resend.run_once()
    await world.settle()
    assert (await world.withdrawal("order")).status == "broadcast"
    assert await world.balance("available") < ALICE_MINOR
    await world.retry()
    await world.retry()
    assert await world.balance("available") == ALICE_MINOR
    assert world.event_types().count("withdrawal.failed") == 1


async def test_an_operator_and_the_loop_together_give_the_money_back_once(
    world: PayingCoinWorld,
) -> None:
    taker = await taken_for_good(world)
    await asyncio.gather(
        world.resend.run_once(),
        cancel(world, "order", taker.transaction_id),
        return_exceptions=True,
    )
    await world.settle()
    assert (await world.withdrawal("order")).reason == "coin_taken"
    assert await world.balance("available") == ALICE_MINOR
    assert await world.balance("pending") == 0
    assert world.event_types().count("withdrawal.failed") == 1


async def test_two_loops_that_find_the_payment_together_take_it_once(
    world: PayingCoinWorld,
) -> None:
    address, _, second, spare = await order_of_two(world)
    await world.land(await world.sign_elsewhere(address, 600_000, second, spare))
    await asyncio.gather(world.resend.run_once(), world.resend.run_once())
    await world.settle()
    assert [one.state for one in await world.attempts("order")].count("mined") == 1
    await world.mine(CONFIRMATIONS)
    assert (await world.withdrawal("order")).status == "confirmed"
    await world.check_books()
