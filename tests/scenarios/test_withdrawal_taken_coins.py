"""A payment whose coin another transaction took: it is that payment, or it is given up, never both.

What took the coin is in a block. Whether that block stays is a matter of depth, and until it is
deep enough nothing is given back.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from agents.parts.cancel_taken import cancel_taken
from agents.runtime.transact import transact
from chain_adapters.types import Coin
from chain_adapters.utxo.adapter import UtxoAdapter
from chain_adapters.utxo.pay import HALF_ORDER
from chain_adapters.utxo.transaction import encode_signature
from custody.approve import MayBePaid, cancel_withdrawal
from devstack.chains.bitcoin import BitcoinNode, DogecoinNode
from devstack.postgres import Postgres
from sql.withdrawals import Withdrawal
from tests.support.coin_withdrawals import (
    ALICE_MINOR,
    REORG_DEPTH_MAX,
    PayingCoinWorld,
    Spending,
    open_coin_world,
)
from tests.support.withdrawals import CONFIRMATIONS, FEE_MINOR

WHOLE = 10**6
PAID = 400_000
FOREIGN = "a coin was used by a transaction that is not ours"


@pytest.fixture
async def world(
    postgres: Postgres, template_database: str, bitcoin_node: BitcoinNode
) -> AsyncIterator[PayingCoinWorld]:
    async with open_coin_world(postgres, template_database, bitcoin_node) as opened:
        yield opened


@pytest.fixture
async def malleable(
    postgres: Postgres, template_database: str, dogecoin_node: DogecoinNode
) -> AsyncIterator[PayingCoinWorld]:
    """Without witnesses anyone can give a transaction another id (BIP-62)."""
    async with open_coin_world(postgres, template_database, dogecoin_node) as opened:
        yield opened


async def order(world: PayingCoinWorld, order_id: str, amount_minor: int = PAID) -> str:
    """Order a payment and return the address that is to be paid."""
    command = world.command(order_id, amount_minor)
    await world.request(command)
    return str(command["address"])


async def paid_from(world: PayingCoinWorld, order_id: str) -> Coin:
    """Return the first coin that the payment of an order spends."""
    [ours] = await world.spendings(order_id)
    [coin] = [c for c in await world.node.coins(world.hot_wallet) if c.id in ours.coins]
    return coin


async def cancel(world: PayingCoinWorld, order_id: str, taken_by: str) -> Withdrawal:
    """Give a payment up by an operator's word."""
    prefix = world.context.settings.topic_prefix
    assert isinstance(world.adapter, UtxoAdapter)
    cancelled = await cancel_taken(
        world.pool,
        prefix,
        world.adapter,
        tenant=world.tenant,
        order_id=order_id,
        taken_by=taken_by,
    )
    await world.settle()
    return cancelled


# Under another id


def change_id(raw: bytes) -> bytes:
    """Return other bytes of a payment of one old coin: its signature holds with s negated too."""
    key_at = 43 + raw[42]
    signature = raw[43 : key_at - 1]
    r_end = 4 + signature[3]
    r, s = int.from_bytes(signature[4:r_end]), int.from_bytes(signature[r_end + 2 :])
    twin = encode_signature(r.to_bytes(32) + (2 * HALF_ORDER + 1 - s).to_bytes(32))
    script = bytes((len(twin),)) + twin + raw[key_at : key_at + 34]
    return raw[:41] + bytes((len(script),)) + script + raw[key_at + 34 :]


async def mine_changed(world: PayingCoinWorld) -> str:
    """Pay an order under another id; return the address."""
    await world.fund(10**9, 10**9)
    address = await order(world, "order", 10**8)
    [ours] = await world.spendings("order")
    await world.node.chain.clear_pool()
    name = await world.node.chain.call("getnewaddress")
    await world.node.chain.call("generateblock", name, [change_id(ours.raw).hex()])
    await world.follow()
    assert await world.paid(address) == [10**8]
    return address


async def test_a_payment_whose_id_was_changed_is_known_and_confirmed_under_the_new_one(
    malleable: PayingCoinWorld,
) -> None:
    address = await mine_changed(malleable)
    await malleable.retry()
    ours, changed = await malleable.attempts("order")
    assert (ours.state, changed.state) == ("broadcast", "mined")
    assert await malleable.halted() is None
    await malleable.mine(CONFIRMATIONS)
    assert (await malleable.withdrawal("order")).status == "confirmed"
    assert await malleable.paid(address) == [10**8]
    await malleable.check_no_double_payment()
    await malleable.check_books()
    assert "withdrawal.replaced" in malleable.event_types()


async def test_its_fee_is_booked_once_though_it_was_a_cost_of_its_own_before(
    malleable: PayingCoinWorld,
) -> None:
    await mine_changed(malleable)
    await malleable.mine(CONFIRMATIONS)
    fees_minor = await malleable.balance("network_fees", owner="")
    assert fees_minor > 0
    await malleable.retry()
    await malleable.mine(CONFIRMATIONS)
    assert await malleable.balance("network_fees", owner="") == fees_minor
    await malleable.check_books()


@pytest.mark.parametrize("lands", [0, 1])
async def test_after_a_reorganisation_either_id_may_land(
    malleable: PayingCoinWorld, lands: int
) -> None:
    address = await mine_changed(malleable)
    await malleable.retry()
    await malleable.mine(CONFIRMATIONS)
    await malleable.reorganise(CONFIRMATIONS + 1)
    assert (await malleable.withdrawal("order")).status == "broadcast"
    attempts = await malleable.spendings("order")
    if lands == 0:
        await malleable.land(attempts[0])
    else:
        await malleable.node.chain.clear_pool()
        name = await malleable.node.chain.call("getnewaddress")
        await malleable.node.chain.call("generateblock", name, [attempts[1].raw.hex()])
        await malleable.follow()
    await malleable.mine(CONFIRMATIONS)
    assert (await malleable.withdrawal("order")).status == "confirmed"
    assert await malleable.paid(address) == [10**8]
    await malleable.check_no_double_payment()
    await malleable.check_books()


async def test_a_payment_that_the_database_forgot_is_not_made_again(
    world: PayingCoinWorld,
) -> None:
    """Restored from a backup, say: another fee, the same order from the same coin."""
    await world.fund(WHOLE)
    address = await order(world, "order")
    forgotten = await world.sign_elsewhere(address, PAID, await paid_from(world, "order"))
    assert forgotten.transaction_id not in {a.transaction_id for a in await world.spendings()}
    await world.node.chain.clear_pool()
    await world.submit(forgotten)
    await world.mine()
    await world.retry()
    await world.mine(CONFIRMATIONS)
    assert (await world.withdrawal("order")).status == "confirmed"
    assert await world.paid(address) == [PAID]
    await world.check_no_double_payment()
    await world.check_books()


# Taken by somebody else


async def take(world: PayingCoinWorld, order_id: str, amount_minor: int = 500_000) -> Spending:
    """Somebody else has the wallet's key, and is quicker."""
    coin = await paid_from(world, order_id)
    taker = await world.sign_elsewhere(world.node.new_address(), amount_minor, coin)
    await world.node.chain.clear_pool()
    assert (await world.submit(taker)).outcome == "accepted"
    await world.mine()
    return taker


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
    await world.node.chain.clear_pool()
    await world.submit(taker)
    await world.mine(CONFIRMATIONS)
    await world.retry()
    assert (await world.withdrawal("order")).status == "failed"
    async with world.pool.acquire() as conn:
        await conn.execute("UPDATE nonces SET halted_reason = NULL")
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
    await world.node.chain.clear_pool()
    await world.submit(taker)
    await world.mine(CONFIRMATIONS)
    await world.retry()
    assert taker.coins <= set(await world.claims())


async def pay_elsewhere(world: PayingCoinWorld, address: str, amount_minor: int) -> Spending:
    """Somebody else pays the recipient from the coin of the order."""
    taker = await world.sign_elsewhere(address, amount_minor, await paid_from(world, "order"))
    await world.node.chain.clear_pool()
    await world.submit(taker)
    await world.mine(CONFIRMATIONS)
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
    await world.node.chain.clear_pool()
    await world.submit(taker)
    await world.mine()
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
    await world.node.chain.clear_pool()
    for spending in (taker, payer):
        assert (await world.submit(spending)).outcome == "accepted"
    await world.mine(CONFIRMATIONS + 1)
    for _ in range(2):
        await world.retry()
    assert (await world.withdrawal("order")).status == "broadcast"
    assert await world.halted() == FOREIGN


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
    await world.node.chain.clear_pool()
    for spending in (taker, payer):
        assert (await world.submit(spending)).outcome == "accepted"
    await world.mine(CONFIRMATIONS + 1)
    with pytest.raises(MayBePaid, match="pays the recipient"):
        await cancel(world, "order", taker.transaction_id)


async def test_what_pays_the_recipient_is_no_reason_to_give_the_money_back(
    world: PayingCoinWorld,
) -> None:
    await world.fund(WHOLE)
    address = await order(world, "order")
    taker = await world.sign_elsewhere(address, PAID, await paid_from(world, "order"))
    await world.node.chain.clear_pool()
    await world.submit(taker)
    await world.mine(CONFIRMATIONS)
    with pytest.raises(MayBePaid, match="pays the recipient"):
        await cancel(world, "order", taker.transaction_id)


# Another branch of the chain


async def test_what_spent_the_change_of_another_branch_is_given_up_when_that_is_gone_for_good(
    world: PayingCoinWorld,
) -> None:
    """The first order's other attempt landed: the second can never land, and nobody is to blame."""
    await world.fund(WHOLE)
    first = await order(world, "first")
    await world.replace.run_once()
    await world.settle()
    early, late = await world.spendings("first")
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
    first = await order(world, "first", 100_000)
    await world.replace.run_once()
    await world.settle()
    early, late = await world.spendings("first")
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
    address = await order(world, "first")
    await world.replace.run_once()
    await world.settle()
    early, late = await world.spendings("first")
    await world.land(early)
    await world.request(world.command("second", PAID, address=address))
    await world.reorganise(1)
    await world.land(late)
    await world.mine(CONFIRMATIONS)
    await world.retry()
    assert (await world.withdrawal("first")).status == "confirmed"
    assert (await world.withdrawal("second")).reason == "coin_taken"
    assert await world.paid(address) == [PAID]


# An operator's word


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
    await world.node.chain.call("generateblock", await fresh_name(world), [ours.raw.hex()])
    with pytest.raises(MayBePaid, match="of the withdrawal itself"):
        await cancel(world, "order", ours.transaction_id)


async def fresh_name(world: PayingCoinWorld) -> str:
    return str(await world.node.chain.call("getnewaddress"))


async def test_what_took_no_coin_of_it_or_made_one_is_no_reason(world: PayingCoinWorld) -> None:
    funding = await world.node.chain.pay(world.hot_wallet, WHOLE)
    await world.mine(CONFIRMATIONS)
    await order(world, "order")
    await world.node.chain.clear_pool()
    stranger = await world.node.chain.pay(world.node.new_address(), 10_000)
    await world.node.chain.call("generateblock", await fresh_name(world), [stranger])
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
