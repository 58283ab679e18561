"""An operator's word and a reorganisation at the same moment: the money is somebody's, once."""

from __future__ import annotations

import asyncio

import pytest

from agents.by_operator.assign_deposit import NotAssignable, assign_deposit
from agents.runtime.transact import transact
from sql.pool import Pool
from tests.support.deposits import CONFIRMATIONS, World

WAITING = """
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND wait_event_type = 'Lock'
"""


@pytest.fixture
async def world(pool: Pool, database_url: str) -> World:
    made = World(pool, database_url)
    await made.start()
    return made


async def pay(world: World) -> int:
    """Pay 500 without a memo, confirmed; return the deposit."""
    address, _ = await world.give_memo("bob")
    world.chain.mint(address, None, 500)
    world.chain.mine(CONFIRMATIONS)
    await world.follow()
    (deposit,) = await world.unassigned()
    return deposit.deposit_id


async def until_blocked(world: World) -> None:
    async with asyncio.timeout(20):
        while not await world.pool.fetchval(WAITING):  # noqa: ASYNC110 - only Postgres knows
            await asyncio.sleep(0)


async def test_a_block_that_leaves_during_the_word_takes_the_money_from_its_new_owner(
    world: World,
) -> None:
    deposit_id = await pay(world)
    world.chain.reorganise(CONFIRMATIONS + 1, length=40)
    async with transact(world.pipeline.context) as work:
        await assign_deposit(work, world.tenant, deposit_id, "alice", "carol")
        following = asyncio.create_task(world.follow())
        await until_blocked(world)
    await following
    assert await world.available() == 0
    assert await world.balance("receivable", "alice") == 0
    assert (await world.balance("suspense"), await world.balance("deposit_wallets")) == (0, 0)


async def test_a_word_during_the_reorganisation_comes_too_late(world: World) -> None:
    deposit_id = await pay(world)
    async with world.pool.acquire() as conn:
        transaction = conn.transaction()
        await transaction.start()
        await conn.execute(
            "UPDATE deposits SET status = 'orphaned' WHERE deposit_id = $1", deposit_id
        )
        word = asyncio.create_task(world.assign(deposit_id))
        await until_blocked(world)
        await transaction.commit()
    with pytest.raises(NotAssignable, match="orphaned, not confirmed"):
        await word
    assert await world.available() == 0


async def test_another_tenant_assigns_nothing_of_ours(world: World, pool: Pool) -> None:
    deposit_id = await pay(world)
    other = f"{world.tenant}-2"
    await pool.execute("INSERT INTO tenants (tenant, name) VALUES ($1, $1)", other)
    await pool.execute("INSERT INTO users (tenant, owner) VALUES ($1, 'mallory')", other)
    for tenant, owner in ((other, "mallory"), (world.tenant, "mallory")):
        with pytest.raises(NotAssignable):
            async with transact(world.pipeline.context) as work:
                await assign_deposit(work, tenant, deposit_id, owner, "carol")
    assert await world.balance("suspense") == 500
