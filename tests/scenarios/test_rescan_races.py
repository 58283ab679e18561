"""A rescan at work while the chain changes under it."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Sequence
from typing import Any

from agents.by_operator.rescan_blocks import RescanBlocks
from agents.parts.matcher import Changes, Matcher
from agents.runtime.stage import Work
from sql.pool import Pool
from tests.support.deposits import CONFIRMATIONS, World
from tests.support.races import until_blocked
from topics.blocks import BlockRecord


class SlowMatcher(Matcher):
    """Has written what it found, and the chain is reorganised before it says so."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self._world = world
        self.following: asyncio.Task[None]

    async def tell(
        self,
        work: Work,
        network: str,
        records: Sequence[BlockRecord],
        changes: Changes,
        **more: Any,  # noqa: ANN401
    ) -> None:
        self._world.chain.reorganise(CONFIRMATIONS + 1, length=40)
        self.following = asyncio.create_task(self._world.follow())
        await until_blocked(self._world.pool, self.following)
        await super().tell(work, network, records, changes, **more)


async def test_what_a_rescan_found_in_a_block_that_leaves_meanwhile_is_taken_back(
    pool: Pool, database_url: str
) -> None:
    world = World(pool, database_url)
    await world.start()
    late = "0x" + secrets.token_hex(20)
    world.chain.mint(late, None, 500)
    world.chain.mine(CONFIRMATIONS)
    height = next(b.height for b in world.chain.blocks if b.transactions)
    await world.follow()
    await world.watch(address=late)
    rescan = RescanBlocks(world.pipeline.context, world.adapter)
    rescan.matcher = slow = SlowMatcher(world)
    await rescan.start()
    found = await rescan.rescan(height, height, lambda _: None)
    await slow.following
    await world.pipeline.settle()
    assert [deposit.status for deposit in found.detected] == ["confirmed"]
    assert await world.statuses() == ["orphaned"]
    assert await world.available() == 0
