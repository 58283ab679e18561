"""An operator's word that a payment in coins can never land, held against the chain."""

from __future__ import annotations

import msgspec
import pytest

from agents.runtime.transact import transact
from chain_adapters.utxo.adapter import UtxoAdapter
from custody.approve import MayBePaid, cancel_withdrawal
from sql import chain as chain_sql
from tests.support.coin_withdrawals import (
    ALICE_MINOR,
    PAID,
    WHOLE,
    PayingCoinWorld,
    order,
)
from tests.support.taken_coins import cancel, fresh_name, mine_just, paid_from, take
from tests.support.withdrawals import CONFIRMATIONS


async def test_an_operators_word_is_held_against_the_chain(world: PayingCoinWorld) -> None:
    await world.fund(WHOLE, WHOLE)
    await order(world, "order")
    [ours] = await world.spendings("order")
    stranger = await world.node.chain.pay(world.node.new_address(), 10_000)
    with pytest.raises(MayBePaid, match="knows of no block"):
        await cancel(world, "order", "ab" * 32)
    with pytest.raises(MayBePaid, match="knows of no block"):
        await cancel(world, "order", stranger)
    await world.mine()
    with pytest.raises(MayBePaid, match="in a block"):
        await cancel(world, "order", ours.transaction_id)
    await world.reorganise(1)
    await mine_just(world, ours.raw.hex())
    with pytest.raises(MayBePaid, match="of the withdrawal itself"):
        await cancel(world, "order", ours.transaction_id)


async def test_nor_by_the_word_of_an_operator_who_names_the_wrong_one(
    world: PayingCoinWorld,
) -> None:
    await world.fund(500_000, 400_000, WHOLE)
    address = await order(world, "order", 1_200_000)
    [ours] = await world.spendings("order")
    coins = await world.node.coins(world.hot_wallet)
    small, large = sorted(
        (c for c in coins if c.id in ours.coins), key=lambda coin: coin.amount_minor
    )
    [third] = [c for c in coins if c.id not in ours.coins]
    taker = await world.sign_elsewhere(world.node.new_address(), 100_000, small)
    payer = await world.sign_elsewhere(address, 1_200_000, large, third)
    await world.land(taker, payer)
    await world.mine(CONFIRMATIONS)
    with pytest.raises(MayBePaid, match="pays the recipient"):
        await cancel(world, "order", taker.transaction_id)


async def test_what_pays_the_recipient_is_no_reason_to_give_the_money_back(
    world: PayingCoinWorld,
) -> None:
    await world.fund(WHOLE)
    address = await order(world, "order")
    taker = await world.sign_elsewhere(address, PAID, await paid_from(world, "order"))
    await world.land(taker)
    await world.mine(CONFIRMATIONS - 1)
    with pytest.raises(MayBePaid, match="pays the recipient"):
        await cancel(world, "order", taker.transaction_id)


async def test_what_took_no_coin_of_it_or_made_one_is_no_reason(world: PayingCoinWorld) -> None:
    funding = await world.node.chain.pay(world.hot_wallet, WHOLE)
    await world.mine(CONFIRMATIONS)
    await order(world, "order")
    await world.node.chain.clear_pool()
    stranger = await world.node.chain.pay(world.node.new_address(), 10_000)
    await mine_just(world, stranger)
    await world.follow()
    for other in (stranger, funding):
        with pytest.raises(MayBePaid, match="took no coin"):
            await cancel(world, "order", other)
    assert (await world.withdrawal("order")).status == "broadcast"


async def test_a_signed_payment_in_coins_is_not_cancelled_on_a_nodes_word(
    world: PayingCoinWorld,
) -> None:
    await world.fund(WHOLE)
    await order(world, "order")
    await take(world, "order")
    await world.retry()
    assert (await world.attempts("order"))[-1].last_outcome == "nonce_used"
    with pytest.raises(MayBePaid):
        async with transact(world.context) as work:
            await cancel_withdrawal(work, world.tenant, "order", "by hand")


async def test_a_payment_whose_deposit_was_spent_otherwise_is_given_up_by_an_operator(
    world: PayingCoinWorld,
) -> None:
    """A customer's payment left the chain, and another that spends his coin took its place."""
    chain = world.node.chain
    before = {coin["txid"]: coin for coin in await chain.call("listunspent")}
    funding = await chain.pay(world.hot_wallet, WHOLE)
    spent = (await chain.call("getrawtransaction", funding, True))["vin"][0]
    await world.mine(CONFIRMATIONS)
    address = await order(world, "order")
    await world.reorganise(CONFIRMATIONS)
    source = {"txid": spent["txid"], "vout": spent["vout"]}
    amount = before[spent["txid"]]["amount"]
    back = f"{float(amount) - 0.01:.8f}"
    made = await chain.call("createrawtransaction", [source], [{await fresh_name(world): back}])
    signed = await chain.call("signrawtransactionwithwallet", made)
    taker = str(await chain.call("sendrawtransaction", signed["hex"]))
    await world.mine()
    with pytest.raises(MayBePaid, match="not as deep yet"):
        await cancel(world, "order", taker)
    await world.mine(CONFIRMATIONS - 1)
    await world.retry()
    assert (await world.withdrawal("order")).status == "broadcast"
    assert (await cancel(world, "order", taker)).reason == "coin_taken"
    assert await world.paid(address) == []
    assert await world.balance("available") == ALICE_MINOR


async def test_an_operator_can_give_up_what_was_taken_in_a_block_that_is_forgotten(
    world: PayingCoinWorld,
) -> None:
    await world.fund(WHOLE)
    address = await order(world, "order", 400_000)
    [coin] = await world.node.coins(world.hot_wallet)
    taker = await world.sign_elsewhere(address, 300_000, coin)
    await world.land(taker)
    await world.mine(CONFIRMATIONS + 3)
    async with world.pool.acquire() as conn:
        await chain_sql.prune_blocks(conn, world.network, CONFIRMATIONS)
    await world.retry()
    assert (await world.withdrawal("order")).status == "broadcast"
    assert (await cancel(world, "order", taker.transaction_id)).reason == "coin_taken"


async def test_a_node_that_names_a_false_block_is_not_believed(
    world: PayingCoinWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What takes the coin is in no block at all: ours may be in one any moment."""
    await world.fund(WHOLE)
    await order(world, "order", 400_000)
    [coin] = await world.node.coins(world.hot_wallet)
    taker = await world.sign_elsewhere(world.node.new_address(), 300_000, coin)
    await world.node.chain.clear_pool()
    await world.mine(CONFIRMATIONS + 1)
    await world.node.chain.clear_pool()
    await world.submit(taker)
    assert isinstance(world.adapter, UtxoAdapter)
    ask = world.adapter.fetch_spending
    tip = await world.node.chain.call("getbestblockhash")
    block_id = (await world.node.chain.call("getblock", tip))["previousblockhash"]

    async def lie(transaction_id: str) -> object:
        told = await ask(transaction_id)
        assert told is not None
        return msgspec.structs.replace(told, block_id=block_id)

    monkeypatch.setattr(world.adapter, "fetch_spending", lie)
    with pytest.raises(MayBePaid):
        await cancel(world, "order", taker.transaction_id)
