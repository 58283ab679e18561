"""A follower among lying nodes, rivals and deaths: no gap, one writer, nothing lost."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from uuid import UUID, uuid4

import pytest
from aiokafka.errors import KafkaConnectionError

from agents import follow_chain
from agents.follow_chain import FollowChain, Publish, lease_name
from agents.runtime.lease import Lease, LeaseLost
from chain_adapters.simulated import Mischief, SimulatedAdapter
from chain_adapters.types import Block, NodeUnavailable
from sql import chain as chain_sql
from sql import stream
from sql.pool import Pool
from tests.support.deposits import CONFIRMATIONS, World
from topics.blocks import BLOCKS, BlockAdded, BlockRecord

LEASE_S = 0.6


@pytest.fixture
async def world(pool: Pool, database_url: str) -> World:
    made = World(pool, database_url)
    await made.start()
    return made


def published(world: World) -> list[BlockRecord]:
    log = world.pipeline.kafka.topics[world.pipeline.kafka.prefix + BLOCKS.name]
    return [BLOCKS.decode(record.value or b"") for record in log]


def published_ids(world: World) -> list[str]:
    return [record.block_id for record in published(world) if isinstance(record, BlockAdded)]


async def known_ids(world: World) -> list[str]:
    async with world.pool.acquire() as conn:
        rows = await conn.fetch(
            "SELECT block_id FROM blocks WHERE network = $1 ORDER BY height", world.network
        )
    return [row["block_id"] for row in rows]


def chain_ids(world: World) -> list[str]:
    return [block.block_id for block in world.chain.blocks]


async def rival(world: World, publish: Publish | None = None) -> FollowChain:
    """Another follower, which takes the lease away from the one before."""
    follower = await world.pipeline.follower(world.network)
    if publish is not None:
        follower._publish = publish
    return follower


async def unreachable(records: Sequence[BlockRecord]) -> None:
    raise KafkaConnectionError


async def run_until_caught_up(follower: FollowChain, world: World) -> None:
    """Run the follower as a worker does, until the database has the chain's tip."""
    running = asyncio.create_task(follower.run())
    try:
        async with asyncio.timeout(20):
            while (await known_ids(world))[-1:] != chain_ids(world)[-1:] or await pending(world):
                if running.done():
                    await running
                await asyncio.sleep(0.01)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def pending(world: World) -> int:
    async with world.pool.acquire() as conn:
        count = await conn.fetchval(
            "SELECT count(*) FROM blocks WHERE network = $1 AND NOT published", world.network
        )
    return int(count)


async def test_five_hundred_blocks_are_caught_up_in_order(world: World) -> None:
    address = await world.watch()
    for _ in range(10):
        world.chain.mint(address, None, 100)
        world.chain.mine(49)
    await world.follow()
    assert published_ids(world) == chain_ids(world)
    assert await world.available() == 1000


async def test_a_block_written_down_and_not_published_is_published_by_the_next_follower(
    world: World,
) -> None:
    address = await world.watch()
    world.chain.mint(address, None, 100)
    world.chain.mine(CONFIRMATIONS)
    doomed = await rival(world, unreachable)
    with pytest.raises(KafkaConnectionError):
        await doomed.catch_up(world.chain.tip)
    assert published_ids(world) == []
    await run_until_caught_up(await rival(world), world)
    await world.pipeline.settle()
    assert published_ids(world) == chain_ids(world)
    assert await world.available() == 100


@pytest.mark.parametrize("mischief", [Mischief.HEIGHT_BACK, Mischief.UNAVAILABLE])
async def test_a_node_that_lags_after_a_crash_leaves_no_gap(
    world: World, mischief: Mischief
) -> None:
    world.chain.mine(4)
    doomed = await rival(world, unreachable)
    with pytest.raises(KafkaConnectionError):
        await doomed.catch_up(world.chain.tip)
    follower = await rival(world)
    world.adapter.order_mischief([mischief])
    with pytest.raises(NodeUnavailable):
        async with asyncio.timeout(10):
            await follower.run()
    world.chain.mine(3)
    await run_until_caught_up(follower, world)
    assert published_ids(world) == chain_ids(world)


async def test_what_was_not_published_and_left_the_chain_is_removed(world: World) -> None:
    world.chain.mine(4)
    await world.follow()
    world.chain.mine(4)
    doomed = await rival(world, unreachable)
    with pytest.raises(KafkaConnectionError):
        await doomed.catch_up(world.chain.tip)
    world.chain.reorganise(2, length=3)
    await run_until_caught_up(await rival(world), world)
    assert await known_ids(world) == chain_ids(world)
    assert set(chain_ids(world)) <= set(published_ids(world))


async def test_a_node_that_hides_its_own_blocks_takes_nothing_off_the_chain(world: World) -> None:
    world.chain.mine(10)
    await world.follow()
    before = await known_ids(world)
    world.chain.mine()
    # The next block with a false parent, then every block below as if it were not there.
    world.adapter.order_mischief([Mischief.WRONG_PARENT, *[Mischief.HEIGHT_BACK] * 20])
    with pytest.raises(NodeUnavailable):
        await world.follower.catch_up(world.chain.tip)
    assert await known_ids(world) == before
    world.adapter.mischief.clear()
    await world.follow()
    assert await known_ids(world) == chain_ids(world)


async def test_a_follower_that_begins_forgets_old_blocks_and_does_so_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follow_chain, "PRUNE_EVERY_BLOCKS", 10)
    world.chain.mine(25)
    await world.follow()
    follower = await rival(world)
    follower._config = follower._config.model_copy(update={"keep_blocks": 20})
    kept = []
    for _ in range(11):
        world.chain.mine(1)
        await follower.catch_up(world.chain.tip)
        await world.pipeline.settle()
        kept.append(len(await known_ids(world)))
    # Some more are kept for a while: the one that was not searched yet, and what came since.
    assert kept == [22, *range(23, 32), 22]


async def test_a_reorganisation_of_all_that_is_known_is_followed(world: World) -> None:
    world.chain.mine(6)
    world.follower._config = world.follower._config.model_copy(update={"start_height": None})
    await world.follow()
    assert await known_ids(world) == chain_ids(world)[-1:]
    world.chain.reorganise(1, length=3)
    await world.follow()
    assert await known_ids(world) == chain_ids(world)[-3:]


async def test_a_reorganisation_settles_nothing_where_no_withdrawals_are_made(
    world: World,
) -> None:
    """Else blocks would be kept for ever, for a search that nobody makes."""
    world.chain.mine(6)
    await world.follow()
    world.chain.reorganise(2, length=3)
    await world.follow()
    async with world.pool.acquire() as conn:
        cursor = await chain_sql.read_cursor(conn, world.network)
    assert cursor is not None
    assert (cursor.height, cursor.settled_height) == (world.chain.tip.height, None)


async def test_a_transaction_mined_lower_while_the_new_chain_is_still_short_is_credited(
    world: World,
) -> None:
    address = await world.watch()
    world.chain.mine(2)
    world.chain.mine(29)
    world.chain.mint(address, None, 700)
    await world.follow()
    deposit = world.chain.blocks[-1].transactions[0]
    world.chain.drop(30)
    world.chain.include([deposit])
    world.chain.mine(35)

    async def publish_and_match(records: Sequence[BlockRecord]) -> None:
        await world.pipeline.kafka.publish_blocks(records)
        await world.pipeline.step()

    follower = await rival(world, publish_and_match)
    await follower.catch_up(world.chain.tip)
    await world.pipeline.settle()
    assert await world.available() == 700
    assert await world.statuses() == ["confirmed"]


async def test_a_follower_that_lost_its_lease_writes_nothing(world: World) -> None:
    world.chain.mine(3)
    await world.follow()
    zombie = world.follower
    await rival(world)
    world.chain.mine(3)
    with pytest.raises(LeaseLost):
        await zombie.catch_up(world.chain.tip)
    assert len(await known_ids(world)) == 4
    assert len(published_ids(world)) == 4


async def test_a_network_that_an_operator_halted_gets_no_more_blocks_until_it_is_resumed(
    world: World,
) -> None:
    world.chain.mine(3)
    await world.follow()
    before = await known_ids(world)
    await halt(world, "an operator's word")
    world.chain.mine(3)
    await world.follow()
    assert await known_ids(world) == before
    await halt(world, None)
    await world.follow()
    assert await known_ids(world) == chain_ids(world)


async def halt(world: World, reason: str | None) -> None:
    async with world.pool.acquire() as conn:
        await chain_sql.halt_network(conn, world.network, reason)


async def test_a_cursor_that_was_set_back_under_the_follower_leaves_no_gap(world: World) -> None:
    world.chain.mine(6)
    await world.follow()
    async with world.pool.acquire() as conn:
        await chain_sql.remove_blocks(conn, world.network, 3)
        await chain_sql.move_cursor(conn, world.network, 2, world.chain.tip)
    world.chain.mine(2)
    await world.follow()
    assert await known_ids(world) == chain_ids(world)
    assert set(published_ids(world)) == set(chain_ids(world))


class Watched(SimulatedAdapter):
    """A node of one follower's own, which notes that it was asked."""

    asked = 0

    async def fetch_block(self, height: int) -> Block | None:
        self.asked += 1
        return await super().fetch_block(height)


async def test_of_two_followers_one_writes_and_the_other_takes_over(world: World) -> None:
    async with world.pool.acquire() as conn:
        await conn.execute("DELETE FROM leases WHERE name = $1", lease_name(world.network))
    nodes = [Watched(world.chain), Watched(world.chain)]
    holders = [uuid4(), uuid4()]
    running = [
        asyncio.create_task(run_leased(world, node, holder))
        for node, holder in zip(nodes, holders, strict=True)
    ]
    try:
        await grow_until_followed(world)
        first = 0 if nodes[0].asked else 1
        assert nodes[1 - first].asked == 0
        await die(world, running[first], holders[first])
        await grow_until_followed(world)
        assert nodes[1 - first].asked > 0
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
    assert await known_ids(world) == chain_ids(world)
    assert set(published_ids(world)) == set(chain_ids(world))


async def run_leased(world: World, node: SimulatedAdapter, holder: UUID) -> None:
    follower = await world_follower(world, node, holder)
    lease = Lease(world.pool, *follower._fence, LEASE_S)
    await lease.run_forever(follower.run)


async def world_follower(world: World, node: SimulatedAdapter, holder: UUID) -> FollowChain:
    return FollowChain(
        world.pipeline.context.settings.networks[0],
        node,
        world.pool,
        world.pipeline.kafka.publish_blocks,
        holder=holder,
        topic_prefix=world.pipeline.kafka.prefix,
    )


async def die(world: World, task: asyncio.Task[None], holder: UUID) -> None:
    """End a follower as kill -9 would: its lease is not given back, it has to lapse."""
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    async with world.pool.acquire() as conn:
        await stream.take_lease(conn, lease_name(world.network), holder, LEASE_S)


async def grow_until_followed(world: World) -> None:
    world.chain.mine(5)
    async with asyncio.timeout(20):
        while await known_ids(world) != chain_ids(world) or await pending(world):  # noqa: ASYNC110
            await asyncio.sleep(0.02)
