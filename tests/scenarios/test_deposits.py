"""Deposits from the block to the ledger: real stages and Postgres on a simulated chain."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest

from agents.parts import matcher
from agents.runtime.record import Record
from sql import chain as chain_sql
from sql import deposits as deposits_sql
from sql.pool import Pool
from tests.support.deposits import CONFIRMATIONS, TOKEN, World
from topics.blocks import BLOCKS, BlockRemoved
from topics.deposits import DEPOSITS, BlockMatched


@pytest.fixture
async def world(pool: Pool, database_url: str) -> World:
    made = World(pool, database_url)
    await made.start()
    return made


async def test_a_deposit_is_credited_once_it_has_its_confirmations(world: World) -> None:
    address = await world.watch()
    world.chain.mint(address, None, 500)
    await world.follow()
    assert await world.statuses() == ["detected"]
    assert await world.available() == 0
    world.chain.mine(CONFIRMATIONS - 2)
    await world.follow()
    assert await world.statuses() == ["detected"]
    world.chain.mine()
    await world.follow()
    assert await world.statuses() == ["confirmed"]
    assert await world.available() == 500
    assert await world.event_types() == ["deposit.detected", "deposit.confirmed"]


async def test_a_deposit_that_is_found_deep_enough_is_confirmed_with_it(world: World) -> None:
    world.pipeline.stages = [s for s in world.pipeline.stages if s.name != "confirm_deposits"]
    await world.pipeline.start()
    address = await world.watch()
    world.chain.mint(address, None, 500)
    world.chain.mine(CONFIRMATIONS - 1)
    world.chain.mint(address, None, 70)
    await world.follow()
    assert await world.statuses() == ["confirmed", "detected"]
    assert await world.available() == 500
    assert await world.event_types() == [
        "deposit.detected",
        "deposit.detected",
        "deposit.confirmed",
    ]
    assert await world.waiting() == [CONFIRMATIONS * 2]


async def test_no_block_is_forgotten_before_the_first_is_matched(world: World) -> None:
    """The role deposits may begin long after the role chain; forgotten blocks count as done."""
    world.chain.mint(await world.watch(), None, 500)
    world.chain.mine(60)
    await world.follower.catch_up(world.chain.tip)
    async with world.pool.acquire() as conn:
        await chain_sql.prune_blocks(conn, world.network, 45)
    await world.pipeline.settle()
    assert await world.statuses() == ["confirmed"]
    assert await world.available() == 500


async def test_confirming_hears_of_a_block_only_if_something_may_be_due(world: World) -> None:
    heard = world.pipeline.kafka.topics[world.pipeline.kafka.prefix + DEPOSITS.name]
    address = await world.watch()
    counts = []
    world.chain.mint(address, None, 500)
    for _ in range(CONFIRMATIONS + 2):
        await world.follow()
        counts.append(len(heard))
        world.chain.mine()
    assert counts == [1, 1, 2, 2, 2]  # as it is found, and as it has become deep enough
    assert await world.statuses() == ["confirmed"]


async def test_a_deposit_is_told_of_as_it_is_stored(world: World) -> None:
    memo = 'text:a "quoted" \\ line\nand another'
    plain = deposits_sql.NewDeposit(
        *("0xaa", "0", world.tenant, "alice", "deposit", "0xbb", "0xcc", None, world.coin),
        *(str(2**255), memo, 7, "0x7", None, 9),
    )
    odd = plain._replace(transfer_index="1", owner="", memo="", contract="0xdd", asset=None)
    async with world.pool.acquire() as conn:
        written = await deposits_sql.detect_deposits(
            conn, world.network, [plain, odd], tip_height=8, final_height=8
        )
        stored = await deposits_sql.list_deposits(conn, world.tenant, None, 10)
    assert {deposit.transfer_index: deposit.memo for deposit in written} == {"0": memo, "1": ""}
    assert sorted(written) == sorted(stored)


@pytest.mark.parametrize("block_id", ["0xstands", "0xleft"])
async def test_nothing_is_confirmed_in_a_block_that_is_not_on_the_chain(
    world: World, block_id: str
) -> None:
    deposit = deposits_sql.NewDeposit(
        *("0xaa", "0", world.tenant, "alice", "deposit", "0xbb", None, None, world.coin, "5", None),
        *(7, block_id, None, 9),
    )
    async with world.pool.acquire() as conn:
        await conn.execute(
            "INSERT INTO blocks (network, height, block_id, parent_id, clock)"
            " VALUES ($1, 7, '0xstands', '', 0)",
            world.network,
        )
        [written] = await deposits_sql.detect_deposits(
            conn, world.network, [deposit], tip_height=9, final_height=9
        )
    assert written.status == ("confirmed" if block_id == "0xstands" else "detected")
    assert await world.waiting() == ([] if block_id == "0xstands" else [9])


async def test_a_deposit_mined_again_deep_enough_is_credited_again(world: World) -> None:
    address = await world.watch()
    world.chain.mint(address, None, 500)
    world.chain.mine(CONFIRMATIONS)
    await world.follow()
    dropped = world.chain.drop(CONFIRMATIONS + 1)
    world.chain.mine()
    world.chain.include(dropped[0].transactions)
    world.chain.mine(CONFIRMATIONS)
    await world.follow()
    assert await world.statuses() == ["confirmed"]
    assert await world.available() == 500
    async with world.pool.acquire() as conn:
        [deposit] = await deposits_sql.list_deposits(conn, world.tenant, None, 10)
    assert deposit.revision == 1


async def test_an_address_registered_a_moment_ago_is_not_missed(world: World) -> None:
    for _ in range(5):
        world.chain.mine()
        await world.follow()
        address = await world.watch()
        world.chain.mint(address, None, 100)
        await world.follow()
    assert len(await world.statuses()) == 5


async def test_more_new_addresses_than_one_look_shows_are_all_watched(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(matcher, "ADDRESS_PAGE_ROWS", 2)
    addresses = [await world.watch() for _ in range(5)]
    for address in addresses:
        world.chain.mint(address, None, 100)
    world.chain.mine(CONFIRMATIONS)
    await world.follow()
    assert await world.available() == 500


async def test_tokens_nobody_listed_and_dust_are_recorded_and_not_credited(world: World) -> None:
    address = await world.watch()
    world.chain.mint(address, "0x" + "66" * 20, 500)
    world.chain.mint(address, None, 9)
    world.chain.mint(address, TOKEN, 1)
    world.chain.mine(CONFIRMATIONS)
    await world.follow()
    assert await world.statuses() == ["ignored", "ignored", "confirmed"]
    assert await world.available() == 0
    assert await world.available(world.token) == 1


async def test_a_large_amount_waits_for_more_confirmations(world: World) -> None:
    async with world.pool.acquire() as conn:
        await conn.execute(
            "UPDATE assets SET confirmations_by_amount = $2 WHERE asset = $1",
            world.coin,
            '[{"from_minor": "1000", "confirmations": 6}]',
        )
    await world.pipeline.start()
    address = await world.watch()
    world.chain.mint(address, None, 999)
    world.chain.mint(address, None, 1000)
    world.chain.mine(4)
    await world.follow()
    assert await world.available() == 999
    world.chain.mine()
    await world.follow()
    assert await world.available() == 1999


@pytest.mark.parametrize(("finality", "blocks"), [("safe", 16), ("finalized", 32)])
async def test_a_deposit_waits_until_the_chain_itself_calls_it_final(
    world: World, finality: str, blocks: int
) -> None:
    async with world.pool.acquire() as conn:
        await conn.execute(
            "UPDATE networks SET finality = $2 WHERE network = $1", world.network, finality
        )
    await world.pipeline.start()
    address = await world.watch()
    world.chain.mint(address, None, 500)
    world.chain.mine(blocks - 1)
    await world.follow()
    assert await world.available() == 0
    world.chain.mine()
    await world.follow()
    assert await world.available() == 500


@pytest.mark.parametrize("depth", [1, 2, 8, 32])
async def test_a_credit_is_taken_back_when_its_block_leaves_the_chain(
    world: World, depth: int
) -> None:
    address = await world.watch()
    world.chain.mine(3)
    world.chain.mint(address, None, 700)
    world.chain.mine(max(depth - 1, CONFIRMATIONS - 1))
    await world.follow()
    assert await world.available() == 700
    world.chain.reorganise(max(depth, CONFIRMATIONS), length=40)
    await world.follow()
    assert await world.statuses() == ["orphaned"]
    assert await world.available() == 0
    assert (await world.event_types())[-2:] == ["deposit.orphaned", "deposit.reversed"]


async def test_a_block_that_leaves_the_chain_takes_no_other_blocks_deposits_with_it(
    world: World,
) -> None:
    address = await world.watch()
    world.chain.mint(address, None, 500)
    world.chain.mint(address, None, 70)
    await world.follow()
    world.chain.drop(1)
    world.chain.mine(CONFIRMATIONS)
    await world.follow()
    assert await world.statuses() == ["confirmed", "orphaned"]
    assert await world.available() == 500


async def test_a_removal_told_again_takes_nothing_from_the_block_that_stands_at_its_height(
    world: World,
) -> None:
    address = await world.watch()
    world.chain.mint(address, None, 500)
    await world.follow()
    world.chain.drop(1)
    world.chain.mint(address, None, 70)
    world.chain.mine(CONFIRMATIONS)
    await world.follow()
    assert await world.statuses() == ["orphaned", "confirmed"]
    log = world.pipeline.kafka.topics[world.pipeline.kafka.prefix + BLOCKS.name]
    (removal,) = [r for r in log if isinstance(BLOCKS.decode(r.value or b""), BlockRemoved)]
    world.pipeline.kafka.append(removal.topic, removal.key, removal.value)
    await world.pipeline.settle()
    assert await world.statuses() == ["orphaned", "confirmed"]
    assert await world.available() == 70
    assert (await world.event_types()).count("deposit.orphaned") == 1


async def test_a_deeper_reorganisation_than_allowed_halts_the_network(world: World) -> None:
    world.chain.mine(50)
    await world.follow()
    world.chain.reorganise(45, length=60)
    await world.follow()
    async with world.pool.acquire() as conn:
        reason = await conn.fetchval(
            "SELECT halted_reason FROM cursors WHERE network = $1", world.network
        )
        height = await conn.fetchval("SELECT height FROM cursors WHERE network = $1", world.network)
    assert "more than 40 blocks" in reason
    assert height == 50
    assert set(await world.event_types()) == {"network.halted"}


async def test_a_chain_replaced_from_its_first_block_on_is_followed_anew(world: World) -> None:
    address = await world.watch()
    world.chain.mine(2)
    async with world.pool.acquire() as conn:
        await conn.execute("DELETE FROM blocks WHERE network = $1", world.network)
    world.chain.mint(address, None, 100)
    await world.follow()
    async with world.pool.acquire() as conn:
        await conn.execute("DELETE FROM blocks WHERE network = $1 AND height < 2", world.network)
    world.chain.reorganise(2, length=4)
    await world.follow()
    assert await world.statuses() == ["orphaned"]
    world.chain.mint(address, None, 100)
    world.chain.mine(CONFIRMATIONS)
    await world.follow()
    assert await world.available() == 100


async def test_a_block_that_is_told_again_after_its_credit_changes_nothing(world: World) -> None:
    address = await world.watch()
    world.chain.mint(address, None, 50)
    world.chain.mine(CONFIRMATIONS)
    await world.follow()
    for record in list(world.pipeline.kafka.topics[world.pipeline.kafka.prefix + BLOCKS.name]):
        world.pipeline.kafka.append(record.topic, record.key, record.value)
    await world.pipeline.settle()
    assert await world.available() == 50
    assert await world.event_types() == ["deposit.detected", "deposit.confirmed"]


async def test_nothing_is_confirmed_whose_block_has_left_though_its_removal_is_not_read_yet(
    world: World,
) -> None:
    address = await world.watch()
    world.chain.mint(address, None, 500)
    await world.follow()
    world.chain.drop(1)
    world.chain.mine(CONFIRMATIONS + 1)
    await world.follower.catch_up(world.chain.tip)
    runners = world.pipeline.runners
    world.pipeline.runners = [r for r in runners if r.stage.name != "match_deposits"]
    matched = DEPOSITS.encode(BlockMatched(world.network, world.chain.tip.height))
    world.pipeline.kafka.append(world.pipeline.kafka.prefix + DEPOSITS.name, b"", matched)
    await world.pipeline.settle()
    assert await world.statuses() == ["detected"]
    assert await world.available() == 0


async def test_a_repeat_of_a_forgotten_block_changes_nothing(world: World) -> None:
    address = await world.watch()
    world.chain.mint(address, None, 50)
    world.chain.mine(CONFIRMATIONS)
    await world.follow()
    blocks = list(world.pipeline.kafka.topics[world.pipeline.kafka.prefix + BLOCKS.name])
    async with world.pool.acquire() as conn:
        await conn.execute("DELETE FROM blocks WHERE network = $1 AND height < 3", world.network)
    for record in blocks:
        world.pipeline.kafka.append(record.topic, record.key, record.value)
    await world.pipeline.settle()
    assert await world.statuses() == ["confirmed"]
    assert await world.available() == 50


async def test_repeated_and_reordered_records_end_in_the_same_ledger(world: World) -> None:
    chance = random.Random(7)

    def disorder(records: Sequence[Record]) -> list[list[Record]]:
        mixed = [*records, *chance.choices(records, k=len(records))]
        chance.shuffle(mixed)
        return [[record] for record in mixed]

    address = await world.watch()
    for _ in range(6):
        world.chain.mint(address, None, 100)
    world.chain.mine(CONFIRMATIONS)
    world.pipeline.deliver = disorder
    await world.follow()
    assert await world.available() == 600
