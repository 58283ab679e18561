"""Deposits and withdrawals from end to end with the privileges of the workers' role alone."""

from __future__ import annotations

from collections.abc import AsyncIterator

import asyncpg
import pytest

from sql.pool import Pool, open_pool
from tests.support.deposits import CONFIRMATIONS, World
from tests.support.withdrawals import SimulatedWorld

SETUP = "networks, assets"
"""What `millrace init` writes as the owner, and the worlds as they start."""


@pytest.fixture
async def role_pool(database_url: str) -> AsyncIterator[Pool]:
    async with await open_pool(f"{database_url}&role=millrace_app", 10) as connections:
        yield connections


async def start(world: World | SimulatedWorld, owner: Pool) -> None:
    await owner.execute(f"GRANT INSERT ON {SETUP} TO millrace_app")
    await world.start()
    await owner.execute(f"REVOKE INSERT ON {SETUP} FROM millrace_app")


async def test_a_deposit_is_credited_reversed_and_assigned(
    pool: Pool, role_pool: Pool, database_url: str
) -> None:
    world = World(role_pool, database_url)
    await start(world, pool)
    address, (pooled, _) = await world.watch(), await world.give_memo()
    world.chain.mint(address, None, 500)
    world.chain.mint(pooled, None, 70, "nobody's")
    world.chain.mine(CONFIRMATIONS)
    await world.follow()
    (waiting,) = await world.unassigned()
    await world.assign(waiting.deposit_id)
    assert await world.available() == 570
    world.chain.reorganise(CONFIRMATIONS + 2)
    await world.follow()
    assert await world.available() == 0


async def test_a_withdrawal_is_checked_signed_sent_replaced_and_settled(
    pool: Pool, role_pool: Pool, database_url: str
) -> None:
    world = SimulatedWorld(role_pool, database_url)
    await start(world, pool)
    (order,) = await world.request(world.command("order-1"))
    assert order.status == "broadcast"
    await world.replace.run_once()
    await world.mine(CONFIRMATIONS)
    assert (await world.withdrawal("order-1")).status == "confirmed"


async def test_it_is_the_role_indeed(role_pool: Pool) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await role_pool.execute("UPDATE assets SET withdrawal_approval_minor = NULL")
