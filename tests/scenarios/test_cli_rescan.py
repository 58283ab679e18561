"""A rescan finds what was missed and harms nothing that is there."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest
from pydantic import SecretStr

import agents.by_operator.rescan_blocks
from agents.by_operator.rescan_blocks import NotRescannable, Reach
from agents.confirm_deposits import ConfirmDeposits
from agents.match_deposits import MatchDeposits
from agents.post_ledger import PostLedger
from agents.runtime.context import Context
from agents.runtime.publisher import Publisher
from chain_adapters.types import Payment
from devstack.chains.anvil import Anvil
from settings.model import Asset, Network, Settings
from sql import addresses as addresses_sql
from sql import catalogue, stream
from sql import chain as chain_sql
from sql import tenants as tenants_sql
from sql.pool import Pool
from sql.stream import DeadLetter
from tests.support.chain_worlds import AnvilWorld, open_anvil_world
from tests.support.command_line import CommandLine
from tests.support.pipeline import Pipeline
from topics.blocks import BLOCKS, BlockRemoved
from topics.ledger import LEDGER

REORG_DEPTH_MAX = 3


class Followed:
    """A real chain, the stages that follow it, and the command line beside them."""

    def __init__(self, pool: Pool, database_url: str, world: AnvilWorld, anvil: Anvil) -> None:
        self.pool = pool
        self.world = world
        self.network = world.adapter.network
        network = Network(
            network=self.network,
            kind="ethereum",
            rpc_urls=(anvil.rpc_url,),
            native_asset="ETH",
            confirmations=1,
            start_height=0,
            reorg_depth_max=REORG_DEPTH_MAX,
        )
        self.asset = Asset(asset="ETH", network=self.network, decimals=18)
        self.settings = Settings(
            database_url=SecretStr(database_url),
            topic_prefix=f"{secrets.token_hex(4)}.",
            networks=(network,),
            assets=(self.asset,),
        )
        context = Context(
            self.settings, pool, {self.network: world.adapter}, Publisher(self.settings)
        )
        self.pipeline = Pipeline(
            context, [MatchDeposits(context), ConfirmDeposits(context), PostLedger(context)]
        )
        self.millrace = CommandLine(
            {
                "MILLRACE_CONFIG": "",
                "MILLRACE_DATABASE_URL": database_url,
                "MILLRACE_TOPIC_PREFIX": self.settings.topic_prefix,
                "MILLRACE_NETWORKS": f"[{network.model_dump_json()}]",
                "MILLRACE_ASSETS": f"[{self.asset.model_dump_json()}]",
            }
        )

    async def start(self) -> None:
        async with self.pool.acquire() as conn:
            await catalogue.upsert_networks(conn, self.settings.networks)
            await catalogue.upsert_assets(conn, [self.asset], [None])
            await tenants_sql.add_tenant(conn, "acme", "Acme")
        self.payer = self.world.new_address()
        await self.world.fund(self.payer, 10**20)
        await self.pipeline.start()
        self.follower = await self.pipeline.follower(self.network)

    async def pay(self, address: str, amount_minor: int, *, lose_facts: bool = False) -> int:
        """Send money, mine it and follow the chain; return the height."""
        payment = Payment(self.payer, address, None, amount_minor)
        await self.world.adapter.broadcast(await self.world.order(payment))
        await self.world.mine()
        return await self.follow(lose_facts=lose_facts)

    async def follow(self, *, lose_facts: bool = False) -> int:
        """Follow the chain to its tip; perhaps Kafka loses what was to be posted."""
        async with aclosing(self.world.adapter.watch_tip()) as tips:
            tip = await anext(tips)
        await self.follower.catch_up(tip)
        if lose_facts:
            await self.lose_facts()
        await self.pipeline.settle()
        return tip.height

    async def watch(self, address: str) -> None:
        """Register an address by hand, as one that was forgotten."""
        async with self.pool.acquire() as conn, conn.transaction():
            await addresses_sql.lock_counter(conn, self.network)
            rows = [(address, "alice", None, None)]
            await addresses_sql.add_addresses(conn, self.network, "acme", "deposit", rows)
            await addresses_sql.advance_counter(conn, self.network, 1)

    async def lose_facts(self) -> None:
        """Let every stage but post_ledger do its work, and Kafka lose what that should post."""
        topic = self.settings.topic_prefix + LEDGER.name
        post_ledger = self.pipeline.runners.pop()
        await self.pipeline.settle()
        self.pipeline.runners.append(post_ledger)
        self.pipeline.done[PostLedger.name] = len(self.pipeline.kafka.topics[topic])

    async def available_minor(self) -> int:
        rows = await self.millrace.json("balance", "--tenant", "acme")
        return sum(int(row["available_minor"]) for row in rows)

    async def statuses(self) -> list[str]:
        rows = await self.millrace.json("deposit", "list", "--tenant", "acme")
        return [row["status"] for row in rows]

    async def forget_below(self, height: int) -> None:
        async with self.pool.acquire() as conn:
            cursor = await chain_sql.read_cursor(conn, self.network)
            assert cursor is not None
            last = min(cursor.height, cursor.matched_height or 0)
            await chain_sql.prune_blocks(conn, self.network, last - height)


@pytest.fixture(scope="module")
async def followed(pool: Pool, database_url: str, anvil: Anvil) -> AsyncIterator[Followed]:
    world = await open_anvil_world(anvil)
    made = Followed(pool, database_url, world, anvil)
    await made.start()
    yield made
    await world.close()


async def test_a_missed_deposit_is_found_and_credited_once(followed: Followed) -> None:
    forgotten = followed.world.new_address()
    height = await followed.pay(forgotten, 700)
    await followed.watch(forgotten)
    assert await followed.available_minor() == 0

    found = await followed.millrace.json("rescan", "--from", "0")
    assert (found["from"], found["to"]) == (0, height)
    assert [row["amount_minor"] for row in found["detected"]] == ["700"]
    await followed.pipeline.settle()
    assert await followed.available_minor() == 700

    again = await followed.millrace.json("rescan", "--from", "0")
    assert (again["detected"], again["orphaned"]) == ([], [])
    await followed.pipeline.settle()
    assert await followed.available_minor() == 700


async def test_a_credit_that_kafka_lost_is_told_again_once(followed: Followed) -> None:
    before = await followed.available_minor()
    address = followed.world.new_address()
    await followed.watch(address)
    height = await followed.pay(address, 41, lose_facts=True)
    assert await followed.statuses() == ["confirmed", "confirmed"]
    assert await followed.available_minor() == before

    found = await followed.millrace.json("rescan", "--from", "0")
    assert (found["detected"], found["told_again"]) == ([], 1)
    await followed.pipeline.settle()
    assert await followed.available_minor() == before + 41

    again = await followed.millrace.json("rescan", "--from", str(height))
    assert again["told_again"] == 0


async def test_blocks_no_longer_remembered_are_rescanned_without_harm(followed: Followed) -> None:
    before = await followed.available_minor()
    statuses = await followed.statuses()
    forgotten = followed.world.new_address()
    height = await followed.pay(forgotten, 30)
    await followed.watch(forgotten)
    await followed.world.mine(2 * REORG_DEPTH_MAX)
    tip = await followed.follow()
    await followed.forget_below(tip)

    found = await followed.millrace.json("rescan", "--from", "0", "--to", str(height))
    assert len(found["detected"]) == 1
    assert found["orphaned"] == []
    await followed.pipeline.settle()
    assert await followed.available_minor() == before + 30
    assert await followed.statuses() == ["confirmed", *statuses]


async def test_a_dead_letter_of_a_forgotten_block_is_not_redriven(followed: Followed) -> None:
    await followed.world.mine(2)
    tip = await followed.follow()
    await followed.forget_below(tip)
    topic = followed.settings.topic_prefix + BLOCKS.name
    records = [
        BLOCKS.encode(BlockRemoved(followed.network, height, "0x")) for height in (tip, tip - 1)
    ]
    letters = [
        DeadLetter("match_deposits", topic, 0, offset, b"k", payload, "boom")
        for offset, payload in enumerate([b"?", *records])
    ]
    async with followed.pool.acquire() as conn:
        await stream.park_records(conn, letters)
    result = await followed.millrace.run("dlq", "redrive", "--all")
    assert result.exit_code == 1
    assert f"--from {tip - 1} --to {tip - 1}" in result.stderr
    *harmless, _ = [row["id"] for row in await followed.millrace.json("dlq", "list")]
    done = await followed.millrace.json("dlq", "redrive", *map(str, harmless))
    assert done["redriven"] == harmless
    async with followed.pool.acquire() as conn:
        waiting = await stream.read_outbox(conn, 0, 10)
        await stream.delete_outbox(conn, [row.id for row in waiting])
    assert [row.payload for row in waiting] == [b"?", records[0]]


async def test_a_block_neither_remembered_nor_settled_is_refused(followed: Followed) -> None:
    await followed.world.mine()
    tip = await followed.follow()
    await followed.forget_below(tip)
    result = await followed.millrace.run("rescan", "--from", str(tip - 1))
    assert result.exit_code == 2
    assert f"block {tip - 1} is neither remembered" in result.stderr


async def test_a_chain_that_is_not_the_followed_one_is_left_alone(
    followed: Followed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agents.by_operator.rescan_blocks, "RETRY_S", 0.0)
    statuses = await followed.statuses()
    await followed.world.mine(2)
    tip = await followed.follow()
    await followed.world.reorganise(1)
    result = await followed.millrace.run("rescan", "--from", str(tip))
    assert result.exit_code == 1
    assert "keep changing" in result.stderr
    await followed.follow()
    assert (await followed.millrace.run("rescan", "--from", str(tip))).exit_code == 0
    assert await followed.statuses() == statuses


async def test_a_reversal_that_kafka_lost_is_told_again_once(followed: Followed) -> None:
    before = await followed.available_minor()
    address = followed.world.new_address()
    await followed.watch(address)
    await followed.pay(address, 43)
    assert await followed.available_minor() == before + 43
    await followed.world.reorganise(1)
    await followed.world.mine()
    await followed.follow(lose_facts=True)
    assert (await followed.statuses())[0] == "orphaned"
    assert await followed.available_minor() == before + 43

    found = await followed.millrace.json("rescan", "--from", "0")
    assert found["told_again"] == 1
    await followed.pipeline.settle()
    assert await followed.available_minor() == before
    assert (await followed.millrace.json("rescan", "--from", "0"))["told_again"] == 0


@pytest.mark.parametrize(
    ("start", "end", "allowed"),
    [
        (0, 60, True),  # settled
        (0, 61, False),
        (61, 61, False),
        (79, 100, False),
        (80, 100, True),  # remembered
        (100, 101, False),  # not followed
        (5, 4, False),
        (-1, 4, False),
    ],
)
def test_only_blocks_beyond_doubt_are_rescanned(start: int, end: int, allowed: bool) -> None:
    reach = Reach(last=100, oldest=80, settled=60)
    if allowed:
        reach.check(start, end)
    else:
        with pytest.raises(NotRescannable):
            reach.check(start, end)


def test_what_is_remembered_and_what_is_settled_may_overlap() -> None:
    Reach(last=100, oldest=30, settled=60).check(0, 100)
