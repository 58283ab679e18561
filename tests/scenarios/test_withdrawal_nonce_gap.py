"""A nonce that a wallet's preparation took in vain never keeps payments from the chain."""

from __future__ import annotations

import pytest

from chain_adapters.types import NodeUnavailable
from custody.prepare import Preparation, prepare_wallet
from sql.custody import list_system_wallets
from sql.pool import Pool
from tests.support.fateful_node import Fate
from tests.support.withdrawals import CONFIRMATIONS, TOKEN, SimulatedWorld

LIFETIME = 5


@pytest.fixture
async def world(pool: Pool, database_url: str) -> SimulatedWorld:
    """On a chain like Stellar: consent to tokens, one payment at a time, and expiry."""
    made = SimulatedWorld(pool, database_url)
    made.chain.lifetime = LIFETIME
    made.node.in_flight_max = 1
    made.node.opt_in_tokens = True
    await made.start()
    return made


async def prepare(world: SimulatedWorld) -> Preparation:
    async with world.pool.acquire() as conn:
        [wallet] = await list_system_wallets(conn, world.tenant, world.network)
    made = await prepare_wallet(world.pool, world.node, world.signer, wallet, TOKEN)
    return made.state


async def prepare_in_vain(world: SimulatedWorld, fate: Fate) -> None:
    """Take a nonce for a preparation of which no answer comes."""
    world.node.fates.append(fate)
    with pytest.raises(NodeUnavailable):
        await prepare(world)


async def test_a_payment_waits_until_a_preparation_before_it_is_in_a_block(
    world: SimulatedWorld,
) -> None:
    assert await prepare(world) is Preparation.SENT
    (order,) = await world.request(world.command("order-1"))
    assert order.status == "approved"
    await world.mine()
    await world.retry()
    await world.mine(CONFIRMATIONS)
    assert (await world.withdrawal("order-1")).status == "confirmed"


@pytest.mark.parametrize("fate", [Fate.NOT_LANDED, Fate.LATE, Fate.ANSWER_LOST])
async def test_a_preparation_whose_fate_is_unknown_blocks_no_payment_for_ever(
    world: SimulatedWorld, fate: Fate
) -> None:
    await prepare_in_vain(world, fate)
    command = world.command("order-1")
    await world.request(command)
    await world.mine(LIFETIME + CONFIRMATIONS + 2)
    await world.node.land_late()
    await world.retry()
    await world.mine(CONFIRMATIONS)
    assert (await world.withdrawal("order-1")).status == "confirmed"
    assert world.payments_to(command["address"]) == 1
    assert world.chain.state_at(-1).nonce(world.hot_wallet) == await world.next_nonce()


async def test_a_nonce_is_not_taken_again_while_its_preparation_may_land(
    world: SimulatedWorld,
) -> None:
    await prepare_in_vain(world, Fate.LATE)
    await world.request(world.command("order-1"))
    await world.mine(LIFETIME - 1)
    await world.retry()
    assert (await world.withdrawal("order-1")).status == "approved"
    await world.node.land_late()
    await world.mine()
    await world.retry()
    await world.mine(CONFIRMATIONS)
    assert (await world.withdrawal("order-1")).status == "confirmed"


async def test_a_preparation_can_be_made_again_after_one_in_vain(world: SimulatedWorld) -> None:
    await prepare_in_vain(world, Fate.NOT_LANDED)
    assert await prepare(world) is Preparation.SENT
    await world.mine()
    (order,) = await world.request(world.command("order-1"))
    assert order.status == "broadcast"
