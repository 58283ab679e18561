"""Networks of one kind make the same address of the same key: none is given out on two of them.

Who pays on the wrong one, as between Ethereum and its second layers, would pay another user.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from agents.runtime.context import Context
from agents.stock_keys import StockKeys
from custody.addresses import assign_addresses, withhold_addresses
from sql.pool import Pool
from tests.support.withdrawals import CONFIRMATIONS, SimulatedWorld

POOL_MIN = 40


async def open_world(pool: Pool, database_url: str, alike: SimulatedWorld | None) -> SimulatedWorld:
    """Return a network of an installation, whose keys are those of `alike`."""
    world = SimulatedWorld(pool, database_url)
    settings = world.context.settings.model_copy(update={"address_pool_min": POOL_MIN})
    context = Context(settings, pool, world.context.adapters, world.context.publisher)
    if alike is not None:
        world.signer = alike.signer
    world.stock_keys = StockKeys(context, world.signer)
    await world.start()
    return world


@pytest.fixture
async def worlds(pool: Pool, database_url: str) -> tuple[SimulatedWorld, SimulatedWorld]:
    first = await open_world(pool, database_url, None)
    return first, await open_world(pool, database_url, first)


async def give(world: SimulatedWorld, owners: Sequence[str]) -> list[str]:
    await world.stock_keys.run_once()
    async with world.pool.acquire() as conn, conn.transaction():
        made = await assign_addresses(conn, world.adapter, world.network, world.tenant, owners)
    return [new.address for new in made]


async def came_to(world: SimulatedWorld, address: str) -> list[str]:
    """Return to whom what came to an address was credited."""
    rows = await world.pool.fetch(
        "SELECT owner FROM deposits WHERE network = $1 AND address = $2", world.network, address
    )
    return [row["owner"] for row in rows]


async def test_what_is_paid_on_another_network_is_no_other_users(
    worlds: tuple[SimulatedWorld, SimulatedWorld],
) -> None:
    right, wrong = worlds
    (address,) = await give(right, ["alice"])
    await give(wrong, ["bob", "carol", "dave"])
    for world in worlds:
        world.chain.mint(address, None, 500)
        world.chain.mine(CONFIRMATIONS)
        await world.follow()
    assert (await came_to(right, address), await came_to(wrong, address)) == (["alice"], [])


async def test_no_address_is_given_out_on_two_networks_however_many_are_at_once(
    worlds: tuple[SimulatedWorld, SimulatedWorld],
) -> None:
    given = await asyncio.gather(*(give(world, ["alice", "bob"]) for world in 4 * worlds))
    addresses = [address for addresses in given for address in addresses]
    assert len(set(addresses)) == len(addresses) == 16


async def test_the_very_first_addresses_of_two_networks_at_once_are_of_two_keys(
    worlds: tuple[SimulatedWorld, SimulatedWorld],
) -> None:
    """Neither sees yet that the other has begun to count."""
    adapter, tenant, pool = worlds[0].adapter, worlds[0].tenant, worlds[0].pool
    networks = [f"{worlds[0].network}-{number}" for number in range(2)]
    for network in networks:
        await pool.execute(
            "INSERT INTO networks SELECT $2, $1 || '-kind', native_asset, confirmations, finality"
            " FROM networks WHERE network = $1",
            worlds[0].network,
            network,
        )
        await pool.execute(
            "INSERT INTO key_pool SELECT $2, branch, key_index, key_path, public_key"
            " FROM key_pool WHERE network = $1",
            worlds[0].network,
            network,
        )

    async def assign(network: str) -> str:
        async with pool.acquire() as conn, conn.transaction():
            (made,) = await assign_addresses(conn, adapter, network, tenant, ["alice"])
            await asyncio.sleep(0.1)  # the other has begun by then
        return made.address

    first, second = await asyncio.gather(*map(assign, networks))
    assert first != second


async def test_a_network_that_comes_later_has_keys_at_once(
    pool: Pool, database_url: str, worlds: tuple[SimulatedWorld, SimulatedWorld]
) -> None:
    first, _ = worlds
    taken = [await give(first, ["alice"] * 30) for _ in range(3)]
    late = await open_world(pool, database_url, first)
    given = await give(late, ["bob"] * POOL_MIN)
    assert not set(given) & {address for addresses in taken for address in addresses}


async def test_what_networks_alike_gave_out_and_forgot_is_withheld_on_each(
    worlds: tuple[SimulatedWorld, SimulatedWorld],
) -> None:
    await give(worlds[0], ["alice"])
    forgotten: dict[str, list[str]] = {world.network: [] for world in worlds}
    async with worlds[0].pool.acquire() as conn:
        after_the_backup = conn.transaction()
        await after_the_backup.start()
        for world in (*worlds, *worlds, worlds[1]):
            made = await assign_addresses(conn, world.adapter, world.network, world.tenant, ["bob"])
            forgotten[world.network] += [new.address for new in made]
        await after_the_backup.rollback()
        async with conn.transaction():
            for world in worlds:
                await withhold_addresses(conn, world.adapter, world.network, world.tenant, 5)
    for world in worlds:
        known = await world.pool.fetch(
            "SELECT address FROM addresses WHERE network = $1 AND owner = ''", world.network
        )
        assert set(forgotten[world.network]) <= {row["address"] for row in known}


async def test_a_network_that_was_forgotten_itself_withholds_the_same_keys_as_the_others(
    pool: Pool, database_url: str, worlds: tuple[SimulatedWorld, SimulatedWorld]
) -> None:
    await give(worlds[0], ["alice"])
    withheld = []
    for number in range(2):
        world = worlds[0] if number == 0 else await open_world(pool, database_url, worlds[0])
        await world.stock_keys.run_once()
        async with pool.acquire() as conn, conn.transaction():
            made = await withhold_addresses(
                conn, world.adapter, world.network, world.tenant, POOL_MIN
            )
        withheld.append([one.address for one in made])
    assert withheld[0] == withheld[1]


async def test_nothing_is_paid_to_an_address_of_ours_on_another_network(
    worlds: tuple[SimulatedWorld, SimulatedWorld],
) -> None:
    right, wrong = worlds
    (address,) = await give(right, ["alice"])
    (order,) = await wrong.request(wrong.command("order-1", asset=wrong.coin, address=address))
    assert (order.status, order.reason) == ("rejected", "own_address")
