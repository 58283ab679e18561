"""A payment under an id that we do not know: changed on its way, or forgotten by the database."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from agents.by_operator.rescan_blocks import RescanBlocks, read_reach
from agents.parts.taken_coins import settle_taken
from chain_adapters.utxo.pay import HALF_ORDER
from chain_adapters.utxo.transaction import encode_signature
from devstack.chains.bitcoin import DogecoinNode
from devstack.postgres import Postgres
from tests.support.coin_withdrawals import (
    PAID,
    REORG_DEPTH_MAX,
    WHOLE,
    PayingCoinWorld,
    open_coin_world,
    order,
)
from tests.support.races import until_blocked
from tests.support.taken_coins import mine_just, paid_from, resume
from tests.support.withdrawals import CONFIRMATIONS


@pytest.fixture
async def malleable(
    postgres: Postgres, template_database: str, dogecoin_node: DogecoinNode
) -> AsyncIterator[PayingCoinWorld]:
    """Without witnesses anyone can give a transaction another id (BIP-62)."""
    async with open_coin_world(postgres, template_database, dogecoin_node) as opened:
        yield opened


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
    await mine_just(world, change_id(ours.raw).hex())
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


async def test_under_the_new_id_it_waits_for_as_many_blocks_as_any_payment(
    malleable: PayingCoinWorld,
) -> None:
    await mine_changed(malleable)
    await malleable.pool.execute("UPDATE networks SET confirmations = 4")
    await malleable.retry()
    statuses = []
    for _ in range(3):
        await malleable.mine()
        statuses.append((await malleable.withdrawal("order")).status)
    assert statuses == ["broadcast", "broadcast", "confirmed"]


async def test_until_it_is_known_other_orders_wait_and_the_wallet_is_not_halted(
    malleable: PayingCoinWorld,
) -> None:
    await mine_changed(malleable)
    address = await order(malleable, "next", 10**8)
    assert (await malleable.withdrawal("next")).status == "approved"
    assert await malleable.halted() is None
    await malleable.retry()
    await malleable.finish()
    assert await malleable.paid(address) == [10**8]
    assert await malleable.halted() is None
    await malleable.check_books()


async def test_a_payment_that_does_not_land_keeps_no_wallet_from_being_halted_for_good(
    world: PayingCoinWorld,
) -> None:
    """Waiting would never end, and there is nothing to resume."""
    await world.fund(WHOLE, WHOLE)
    await order(world, "stuck")
    [ours] = await world.spendings("stuck")
    [other] = [
        coin for coin in await world.node.coins(world.hot_wallet) if coin.id not in ours.coins
    ]
    foreign = await world.sign_elsewhere(world.node.new_address(), PAID, other)
    await world.land(foreign)
    address = await order(world, "next")
    await world.mine(REORG_DEPTH_MAX - 1)
    await world.retry()
    assert await world.halted() is None, "it may be a payment of ours under another id"
    await world.node.chain.clear_pool()
    await world.mine()
    await world.retry()
    assert foreign.transaction_id in str(await world.halted())
    await resume(world)
    await world.finish()
    assert await world.paid(address) == [PAID]
    await world.check_no_double_payment()


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


async def test_its_fee_is_booked_once_though_its_block_is_read_again_while_it_is_recognised(
    malleable: PayingCoinWorld,
) -> None:
    """The rescan has found it to be nobody's payment, and waits to write down what it cost."""
    world = malleable
    await mine_changed(world)
    await world.mine(CONFIRMATIONS)
    fees_minor = await world.balance("network_fees", owner="")
    config = world.context.settings.network(world.network)
    rescan = RescanBlocks(world.context, world.adapter)
    await rescan.start()
    height = (await read_reach(world.context, world.network)).last - CONFIRMATIONS
    async with world.pool.acquire() as conn, conn.transaction():
        await conn.execute("LOCK TABLE transactions IN SHARE MODE")  # to be read, not written
        recognising = asyncio.create_task(settle_taken(world.context, config))
        await until_blocked(world.pool, recognising)
        reading = asyncio.create_task(rescan.rescan(height, height, lambda _: None))
        await until_blocked(world.pool, reading, waiting=2)
    await asyncio.gather(recognising, reading)
    await world.mine(CONFIRMATIONS)
    assert (await world.withdrawal("order")).status == "confirmed"
    assert await world.balance("network_fees", owner="") == fees_minor
    await world.check_books()


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
        await mine_just(malleable, attempts[1].raw.hex())
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
    await world.land(forgotten)
    await world.retry()
    await world.mine(CONFIRMATIONS)
    assert (await world.withdrawal("order")).status == "confirmed"
    assert await world.paid(address) == [PAID]
    await world.check_no_double_payment()
    await world.check_books()
