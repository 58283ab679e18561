"""Deposits of coins on a real node, and what a real node cannot be brought to do."""

from __future__ import annotations

import secrets

import pytest

from chain_adapters.types import Transaction, Transfer
from custody.addresses import assign_addresses
from sql.pool import Pool
from tests.support.books import Books
from tests.support.coin_withdrawals import ALICE_MINOR, PayingCoinWorld
from tests.support.withdrawals import CONFIRMATIONS

ONE = 10**8


async def new_address(world: PayingCoinWorld) -> str:
    async with world.pool.acquire() as conn, conn.transaction():
        [made] = await assign_addresses(conn, world.adapter, world.network, world.tenant, ["bob"])
    return made.address


async def credited(world: PayingCoinWorld) -> int:
    return await world.balance("available", owner="bob")


async def deposits(world: PayingCoinWorld) -> list[str]:
    async with world.pool.acquire() as conn:
        rows = await conn.fetch("SELECT status FROM deposits WHERE owner = 'bob'")
    return [row["status"] for row in rows]


async def test_a_deposit_waits_for_its_block_and_its_confirmations(world: PayingCoinWorld) -> None:
    address = await new_address(world)
    await world.node.chain.pay(address, ONE)
    await world.follow()
    assert await deposits(world) == []
    await world.mine(CONFIRMATIONS - 1)
    assert (await deposits(world), await credited(world)) == (["detected"], 0)
    await world.mine()
    assert (await deposits(world), await credited(world)) == (["confirmed"], ONE)


async def test_a_credited_deposit_that_is_mined_again_elsewhere_is_credited_once(
    world: PayingCoinWorld,
) -> None:
    address = await new_address(world)
    id_ = await world.node.chain.pay(address, ONE)
    raw = await world.node.chain.call("getrawtransaction", id_)
    await world.mine(CONFIRMATIONS)
    assert await credited(world) == ONE
    await world.reorganise(CONFIRMATIONS + 1)
    assert (await deposits(world), await credited(world)) == (["orphaned"], 0)
    await world.node.chain.call("sendrawtransaction", raw)
    await world.mine(CONFIRMATIONS)
    assert (await deposits(world), await credited(world)) == (["confirmed"], ONE)
    assert await world.balance("available") == ALICE_MINOR


async def test_what_is_mined_to_a_user_is_credited_after_100_blocks(
    world: PayingCoinWorld,
) -> None:
    await world.node.chain.mine_to(await new_address(world))
    await world.node.chain.mine(98)
    await world.follow()
    assert (await deposits(world), await credited(world)) == (["detected"], 0)
    await world.mine()
    assert await credited(world) > 0


@pytest.fixture
async def books(pool: Pool, database_url: str) -> Books:
    made = Books(pool, database_url)
    await made.start()
    return made


async def test_one_id_in_two_blocks_is_one_deposit(books: Books) -> None:
    """As two coinbases of 2010 (BIP-30): the second put the first one's coins out of reach."""
    address = await books.watch()
    transfer = Transfer("out:0", None, address, None, 500)
    mined = Transaction("0x" + secrets.token_hex(32), None, True, 0, (transfer,))
    books.chain.include([mined])
    await books.confirm()
    books.chain.include([mined])
    await books.confirm()
    assert await books.available() == 500
