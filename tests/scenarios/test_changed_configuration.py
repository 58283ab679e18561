"""What is configured otherwise after a restart: taken up, done right or refused in words."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from uuid import uuid4

import pytest
from msgspec.structs import replace

from agents.by_operator.rescan_blocks import RescanBlocks, Rescanned
from agents.runtime.lease import Lease
from chain_adapters.simulated.chain import hash_text
from chain_adapters.types import Block, NodeUnavailable, Transaction, Transfer, WrongNetwork
from sql import chain as chain_sql
from sql.pool import Pool
from tests.support.deposits import CONFIRMATIONS, World

NEW_TOKEN = "0x" + "71" * 20


@pytest.fixture
async def world(pool: Pool, database_url: str) -> World:
    world = World(pool, database_url)
    await world.start()
    return world


async def restart(world: World) -> None:
    """Let the stages read the configuration anew, as after a restart."""
    for stage in world.pipeline.stages:
        await stage.start()


async def list_token(world: World, contract: str = NEW_TOKEN) -> str:
    """Write an asset as `millrace init` does."""
    asset = f"NEW-{world.token}"
    async with world.pool.acquire() as conn:
        await conn.execute(
            "INSERT INTO assets (asset, network, contract, decimals) VALUES ($1, $2, $3, 6)",
            asset,
            world.network,
            contract,
        )
    return asset


async def rescan(world: World) -> Rescanned:
    """Read every block again, as `millrace rescan`, and settle."""
    stage = RescanBlocks(world.pipeline.context, world.adapter)
    await stage.start()
    found = await stage.rescan(0, world.chain.tip.height, lambda _: None)
    await world.pipeline.settle()
    return found


async def test_a_token_listed_after_it_came_is_credited_by_a_rescan_once(world: World) -> None:
    address = await world.watch()
    world.chain.mint(address, NEW_TOKEN, 500)
    world.chain.mine(CONFIRMATIONS)
    await world.follow()
    assert await world.statuses() == ["ignored"]

    asset = await list_token(world)
    await restart(world)
    for _ in range(3):
        await rescan(world)
        world.chain.mine()
        await world.follow()

    assert await world.statuses() == ["confirmed"]
    assert await world.available(asset) == 500


async def test_a_token_listed_after_it_came_leaves_with_its_block(world: World) -> None:
    address = await world.watch()
    world.chain.mint(address, NEW_TOKEN, 500)
    world.chain.mine(CONFIRMATIONS)
    await world.follow()
    asset = await list_token(world)
    await restart(world)
    await rescan(world)
    assert await world.available(asset) == 500

    dropped = world.chain.drop(CONFIRMATIONS + 1)
    world.chain.mine(CONFIRMATIONS + 2)
    await world.follow()
    assert await world.available(asset) == 0
    world.chain.include(dropped[0].transactions)
    world.chain.mine(CONFIRMATIONS)
    await world.follow()
    assert await world.available(asset) == 500


async def test_what_is_ignored_for_another_reason_stays_so_in_a_rescan(world: World) -> None:
    address = await world.watch()
    world.chain.mint(address, None, 5)
    world.chain.mint(address, "0x" + "72" * 20, 5)
    world.chain.mine(CONFIRMATIONS)
    await world.follow()
    await world.pool.execute("UPDATE assets SET deposit_minor_min = 1 WHERE asset = $1", world.coin)
    await restart(world)
    found = await rescan(world)
    assert found == ([], [], [])
    assert await world.statuses() == ["ignored", "ignored"]


async def test_an_asset_listed_while_the_stage_runs_is_credited(world: World) -> None:
    address = await world.watch()
    asset = await list_token(world)
    world.chain.mint(address, NEW_TOKEN, 500)
    world.chain.mine(CONFIRMATIONS)
    await world.follow()
    assert await world.available(asset) == 500


@pytest.mark.parametrize("confirmations", [1, CONFIRMATIONS + 2])
async def test_a_deposit_that_waits_keeps_the_confirmations_it_was_found_with(
    world: World, confirmations: int
) -> None:
    address = await world.watch()
    world.chain.mint(address, None, 500)
    await world.follow()
    await world.pool.execute(
        "UPDATE networks SET confirmations = $1 WHERE network = $2", confirmations, world.network
    )
    await restart(world)
    world.chain.mine()
    world.chain.mint(address, None, 70)
    world.chain.mine(CONFIRMATIONS - 2)
    await world.follow()
    assert (await world.statuses())[0] == "confirmed"
    world.chain.mine(confirmations)
    await world.follow()
    assert await world.statuses() == ["confirmed", "confirmed"]
    assert await world.available() == 570


async def test_deposits_that_wait_follow_a_changed_finality(world: World) -> None:
    address = await world.watch()
    world.chain.mint(address, None, 500)
    await set_finality(world, "finalized")
    world.chain.mine(CONFIRMATIONS)
    await world.follow()
    assert await world.statuses() == ["detected"]
    await set_finality(world, "depth")
    world.chain.mine()
    await world.follow()
    assert await world.available() == 500
    await set_finality(world, "finalized")
    world.chain.mint(address, None, 70)
    world.chain.mine(CONFIRMATIONS)
    await world.follow()
    assert await world.available() == 500
    world.chain.mine(world.chain.finality_depth)
    await world.follow()
    assert await world.available() == 570


async def set_finality(world: World, finality: str) -> None:
    """Change it as `millrace init` does, and start the stages again."""
    await world.pool.execute(
        "UPDATE networks SET finality = $1 WHERE network = $2", finality, world.network
    )
    await restart(world)


async def test_a_lower_minimum_counts_for_what_comes_from_then_on(world: World) -> None:
    address = await world.watch()
    world.chain.mint(address, None, 5)
    world.chain.mine(CONFIRMATIONS)
    await world.follow()
    await world.pool.execute("UPDATE assets SET deposit_minor_min = 1 WHERE asset = $1", world.coin)
    await restart(world)
    world.chain.mint(address, None, 6)
    world.chain.mine(CONFIRMATIONS)
    await world.follow()
    assert await world.statuses() == ["ignored", "confirmed"]
    assert await world.available() == 6


async def test_nodes_of_another_chain_are_waited_for_and_stop_no_other_network(
    pool: Pool,
) -> None:
    asked: list[int] = []
    again = asyncio.Event()

    async def follow() -> None:
        asked.append(1)
        if len(asked) == 1:
            raise WrongNetwork("127.0.0.1 serves chain 5, not 1")
        again.set()
        await asyncio.Event().wait()

    lease = asyncio.create_task(Lease(pool, "misled", uuid4(), 5.0).run_forever(follow))
    waiting = asyncio.create_task(again.wait())
    await asyncio.wait({lease, waiting}, return_when=asyncio.FIRST_COMPLETED)
    assert again.is_set()
    assert not lease.done()
    lease.cancel()
    await asyncio.gather(lease, waiting, return_exceptions=True)


async def test_what_was_not_looked_for_inside_contracts_is_credited_once_by_a_rescan(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on Ethereum with traces = "never" for a while, in which a block leaves the chain too."""
    honest = world.adapter.fetch_block

    async def without_calls(height: int) -> Block | None:
        block = await honest(height)
        hidden = tuple(replace(t, transfers=()) for t in block.transactions) if block else ()
        return block and replace(block, transactions=hidden)

    call = Transfer("call:0", None, await world.watch(), None, 500)
    world.chain.include([Transaction(hash_text("call"), None, True, 0, (call,))])
    world.chain.mine(CONFIRMATIONS)
    for _ in range(2):
        with monkeypatch.context() as never:
            never.setattr(world.adapter, "fetch_block", without_calls)
            await world.follow()
        assert await world.available() == 0
        for _ in range(2):
            await rescan(world)
            assert await world.available() == 500
        dropped = world.chain.drop(CONFIRMATIONS + 1)
        world.chain.mine()
        world.chain.include(dropped[0].transactions)
        world.chain.mine(CONFIRMATIONS)


async def test_a_node_that_is_behind_takes_nothing_back_and_is_waited_for(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.chain.mint(await world.watch(), None, 500)
    world.chain.mine(CONFIRMATIONS)
    await world.follow()
    tip, honest = world.chain.tip, world.adapter.fetch_block
    old = world.chain.blocks[tip.height - CONFIRMATIONS - 1]

    async def stale(height: int) -> Block | None:
        return await honest(height) if height <= old.height else None

    with monkeypatch.context() as behind:
        behind.setattr(world.adapter, "fetch_block", stale)
        told = replace(tip, height=old.height, block_id=old.block_id)
        with suppress(NodeUnavailable):
            await world.follower.catch_up(told)
        await world.pipeline.settle()
        assert await world.available() == 500
        async with world.pool.acquire() as conn:
            cursor = await chain_sql.read_cursor(conn, world.network)
    assert cursor is not None
    assert cursor.height == tip.height
    world.chain.mint(await world.watch(), None, 30)
    world.chain.mine(CONFIRMATIONS)
    await world.follow()
    assert await world.available() == 530
