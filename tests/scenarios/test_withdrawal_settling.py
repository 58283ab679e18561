"""A withdrawal is settled by its own network's word on what is final, and by blocks that stand."""

from __future__ import annotations

import pytest

from sql.pool import Pool
from tests.support.withdrawals import CONFIRMATIONS, SimulatedWorld


@pytest.fixture
async def world(pool: Pool, database_url: str) -> SimulatedWorld:
    """The second of two networks: the other relies on depth alone."""
    await SimulatedWorld(pool, database_url).start()
    made = SimulatedWorld(pool, database_url)
    await made.start()
    return made


@pytest.mark.parametrize(("finality", "blocks"), [("safe", 16), ("finalized", 32)])
async def test_a_payment_is_settled_when_its_own_network_calls_its_block_final(
    world: SimulatedWorld, finality: str, blocks: int
) -> None:
    async with world.pool.acquire() as conn:
        await conn.execute(
            "UPDATE networks SET finality = $2 WHERE network = $1", world.network, finality
        )
    await world.request(world.command("order-1"))
    await world.mine(blocks)
    assert (await world.withdrawal("order-1")).status == "broadcast"
    await world.mine()
    assert (await world.withdrawal("order-1")).status == "confirmed"


async def test_a_payment_in_a_block_that_is_gone_when_its_record_is_read_waits_for_another(
    world: SimulatedWorld,
) -> None:
    await world.request(world.command("order-1"))
    world.chain.mine()
    await world.follower.catch_up(world.chain.tip)
    world.chain.reorganise(1, keep=False, length=2)
    await world.follow()
    assert [a.state for a in await world.attempts("order-1")] == ["broadcast"]


async def test_after_a_reorganisation_every_attempt_is_sent_again_for_any_may_land(
    world: SimulatedWorld,
) -> None:
    await world.mine(CONFIRMATIONS)
    await world.request(world.command("order-1"))
    await world.replace_due()
    await world.mine(CONFIRMATIONS)
    assert [a.state for a in await world.attempts("order-1")] == ["superseded", "mined"]
    world.chain.reorganise(CONFIRMATIONS, keep=False, length=CONFIRMATIONS + 1)
    await world.follow()
    assert [a.state for a in await world.attempts("order-1")] == ["broadcast", "broadcast"]


async def test_a_payment_that_moved_to_another_block_before_it_was_settled_is_settled_once(
    world: SimulatedWorld,
) -> None:
    await world.request(world.command("order-1"))
    await world.mine()
    world.chain.reorganise(1, length=2)
    await world.follow()
    await world.mine(CONFIRMATIONS)
    settled = await world.withdrawal("order-1")
    assert (settled.status, settled.revision) == ("confirmed", 0)


async def test_what_failed_counts_against_no_limit_any_more(world: SimulatedWorld) -> None:
    await world.pool.execute(
        "UPDATE assets SET withdrawal_count_max_hour = 1 WHERE asset = $1", world.coin
    )
    impossible = world.command("order-1")
    world.chain.reverting.add(impossible["address"])
    (failed,) = await world.request(impossible)
    assert failed.status == "failed"
    (second,) = await world.request(world.command("order-2"))
    assert second.status == "broadcast"
    (third,) = await world.request(world.command("order-3"))
    assert third.reason == "too_many"


async def test_what_failed_in_a_block_counts_as_an_order_and_not_with_its_amount(
    world: SimulatedWorld,
) -> None:
    """It cost its fee: who is paid could have any number of them fail."""
    await world.pool.execute(
        "UPDATE assets SET withdrawal_count_max_hour = 2, withdrawal_minor_max_day = 100"
        " WHERE asset = $1",
        world.coin,
    )
    undone = world.command("order-1", 100)
    await world.request(undone)
    world.chain.reverting.add(undone["address"])
    await world.mine(CONFIRMATIONS)
    assert (await world.withdrawal("order-1")).reason == "failed_on_chain"
    (second,) = await world.request(world.command("order-2", 50))
    assert second.status == "broadcast"
    (third,) = await world.request(world.command("order-3", 50))
    assert third.reason == "too_many"
