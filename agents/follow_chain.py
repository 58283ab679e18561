"""node → blocks: follows the best chain of one network and publishes it, block by block.

Postgres first: new blocks are written to the blocks table, unpublished, together with the cursor;
then they are published; then they are marked. A follower that starts again publishes once more
what is not marked, so nothing is lost. Removed blocks go through the outbox. Readers ask the
blocks table whether a block is canonical, so repeats and another order do no harm.

Every write checks the lease: one follower a network, however many run.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from datetime import UTC, datetime
from itertools import takewhile
from typing import Protocol
from uuid import UUID

import structlog

from agents.parts.network_events import halted_events
from agents.runtime.lease import LeaseLost
from agents.runtime.outlet import Outlet
from agents.runtime.stage import Work
from agents.runtime.transact import transact_on
from chain_adapters.adapter import ChainReader
from chain_adapters.types import Block, NodeUnavailable, Tip
from metrics import catalogue
from settings.model import Network
from sql import chain as chain_sql
from sql import stream
from sql.chain import BlockRow, Fence, Place
from sql.pool import Pool
from sql.tenants import list_tenants
from topics.blocks import BLOCKS, BlockRecord, BlockRemoved, block_added
from topics.events import emit_events

log = structlog.get_logger(__name__)

READ_AHEAD_BLOCKS = 16
"""Blocks fetched at the same time while catching up."""
PRUNE_EVERY_BLOCKS = 1000


class Publish(Protocol):
    """Publishes block records in order and returns once Kafka has acknowledged all of them."""

    async def __call__(self, records: Sequence[BlockRecord]) -> None:
        """Raise if any record may not have been written."""
        ...


class FollowChain:
    """Follows one network for as long as `holder` has the lease `lease_name(network)`."""

    def __init__(
        self,
        config: Network,
        reader: ChainReader,
        pool: Pool,
        publish: Publish,
        *,
        holder: UUID,
        topic_prefix: str,
        outlet: Outlet | None = None,
    ) -> None:
        self._config = config
        self.network = config.network
        """The network it follows."""
        self._reader = reader
        self._pool = pool
        self._publish = publish
        self._fence = Fence(lease_name(self.network), holder)
        self._topic_prefix = topic_prefix
        self._outlet = outlet
        self._since_pruned = PRUNE_EVERY_BLOCKS
        """Blocks since old ones were last forgotten; as we begin, nobody can tell."""
        self._place: Place | None = None
        """Where we know to be; the database refuses what is appended anywhere else."""

    async def run(self) -> None:
        """Follow until the lease is lost (LeaseLost) or no node answers (NodeUnavailable)."""
        self._place = None
        await self._publish_pending()
        async with aclosing(self._reader.watch_tip()) as tips:
            async for tip in tips:
                await self.catch_up(tip)

    async def catch_up(self, tip: Tip) -> None:
        """Bring our chain to what the node has, as far as one look at its tip tells."""
        while await self._step(tip):
            pass

    async def _step(self, tip: Tip) -> bool:
        """Append the next blocks, or undo blocks that left the chain; False: nothing to do."""
        place = self._place or await self._look()
        if place is None:
            height = self._first_height(tip)
            return await self._append(height - 1, await self._read(height, tip), tip)
        if place.halted or tip.height < place.height:
            return False
        if tip.height == place.height:
            return place.block_id not in (None, tip.block_id) and await self._reorganise()
        blocks = await self._read(place.height + 1, tip)
        if blocks and place.block_id not in (None, blocks[0].parent_id):
            return await self._reorganise()
        return await self._append(place.height, blocks, tip)

    async def _look(self) -> Place | None:
        async with self._pool.acquire() as conn:
            return await chain_sql.read_place(conn, self.network)

    def _first_height(self, tip: Tip) -> int:
        configured = self._config.start_height
        return tip.height if configured is None else min(configured, tip.height)

    async def _read(self, start: int, tip: Tip) -> list[Block]:
        """Fetch the next blocks, many at once; only as far as each continues the one before."""
        heights = range(start, min(tip.height, start + READ_AHEAD_BLOCKS - 1) + 1)
        return linked_prefix(await asyncio.gather(*map(self._fetch, heights)))

    async def _fetch(self, height: int) -> Block | None:
        started = time.monotonic()
        block = await self._reader.fetch_block(height)
        catalogue.block_read_seconds.labels(self.network).observe(time.monotonic() - started)
        if block is not None and block.height != height:
            raise NodeUnavailable(f"asked for block {height}, was given {block.height}")
        return block

    async def _append(self, height_before: int, blocks: Sequence[Block], tip: Tip) -> bool:
        if not blocks:
            return False
        self._place = None
        async with self._pool.acquire() as conn:
            held, appended = await chain_sql.append_blocks(
                conn, self.network, blocks, tip, height_before=height_before, fence=self._fence
            )
        if not held:
            raise LeaseLost(self.network)
        if appended:
            self._place = Place(blocks[-1].height, halted=False, block_id=blocks[-1].block_id)
            await self._publish_blocks(blocks)
        return True

    async def _publish_blocks(self, blocks: Sequence[Block]) -> None:
        await self._publish(
            [record for block in blocks for record in block_added(self.network, block)]
        )
        heights = [block.height for block in blocks]
        async with self._pool.acquire() as conn:
            if not await chain_sql.mark_published(conn, self.network, heights, self._fence):
                raise LeaseLost(self.network)
        catalogue.blocks_total.labels(self.network, "added").inc(len(blocks))
        self._since_pruned += len(blocks)
        if self._since_pruned >= PRUNE_EVERY_BLOCKS:
            async with self._fenced() as work:
                await chain_sql.prune_blocks(work.conn, self.network, self._config.keep_blocks)
            self._since_pruned = 0

    async def _publish_pending(self) -> None:
        """Publish what a follower before us wrote down and may not have published.

        Nothing else is published before that: a block that cannot be read again has left the
        chain and is removed, or the node contradicts itself and NodeUnavailable is raised.
        """
        async with self._pool.acquire() as conn:
            rows = await chain_sql.recent_blocks(conn, self.network, READ_AHEAD_BLOCKS)
        pending = [row for row in reversed(rows) if not row.published]
        fetched = await asyncio.gather(*(self._fetch_again(row.height) for row in pending))
        blocks = still_there(pending, fetched)
        if blocks:
            await self._publish_blocks(blocks)
        if len(blocks) < len(pending):
            await self._reorganise()

    async def _reorganise(self) -> bool:
        """Remove our blocks above the highest one that the node's chain shares."""
        self._place = None
        depth_max = self._config.reorg_depth_max
        async with self._pool.acquire() as conn:
            rows = await chain_sql.recent_blocks(conn, self.network, depth_max + 1)
        ancestor = await self._find_ancestor(rows)
        if ancestor is rows[0]:
            raise NodeUnavailable(f"{self.network}: the node takes back its own tip")
        if ancestor is None and len(rows) > depth_max:
            await self._halt(
                rows[0].height, f"the chain forked more than {depth_max} blocks below our tip"
            )
            return False
        await self._remove(rows[-1].height if ancestor is None else ancestor.height + 1, rows)
        return True

    async def _find_ancestor(self, rows: Sequence[BlockRow]) -> BlockRow | None:
        for row in rows:
            block = await self._fetch_again(row.height)
            if block.block_id == row.block_id:
                return row
        return None

    async def _fetch_again(self, height: int) -> Block:
        """Fetch a block not above the tip: a node without it lags, and tells nothing."""
        block = await self._fetch(height)
        if block is None:
            raise NodeUnavailable(f"{self.network}: the node has no block {height} below its tip")
        return block

    async def _remove(self, from_height: int, rows: Sequence[BlockRow]) -> None:
        tip = Tip(rows[0].height, rows[0].block_id)
        async with self._fenced() as work:
            removed = await chain_sql.remove_blocks(work.conn, self.network, from_height)
            await chain_sql.move_cursor(work.conn, self.network, from_height - 1, tip)
            for height, block_id in removed:
                work.emit(BLOCKS, self.network, BlockRemoved(self.network, height, block_id))
        log.warning("reorganisation", network=self.network, depth=len(removed), above=from_height)
        catalogue.blocks_total.labels(self.network, "removed").inc(len(removed))
        catalogue.reorgs_total.labels(self.network).inc()
        catalogue.reorg_depth_blocks.labels(self.network).observe(len(removed))

    async def _halt(self, height: int, reason: str) -> None:
        async with self._fenced() as work:
            await chain_sql.halt_network(work.conn, self.network, reason)
            tenants = [row.tenant for row in await list_tenants(work.conn)]
            now = datetime.now(UTC)
            emit_events(work, halted_events(tenants, self.network, height, reason, now))
        log.critical("network halted", network=self.network, reason=reason)

    @asynccontextmanager
    async def _fenced(self) -> AsyncIterator[Work]:
        """A transaction that commits only while we hold the lease."""
        async with transact_on(self._pool, self._topic_prefix, self._outlet) as work:
            if not await stream.hold_lease(work.conn, *self._fence):
                raise LeaseLost(self.network)
            yield work


def lease_name(network: str) -> str:
    """Return the name of the lease to follow a network."""
    return f"follow_chain {network}"


def still_there(rows: Sequence[BlockRow], blocks: Sequence[Block]) -> list[Block]:
    """Return the blocks up to the first that is not the one of its row. Pure."""
    pairs = takewhile(
        lambda pair: pair[0].block_id == pair[1].block_id, zip(rows, blocks, strict=True)
    )
    return [block for _, block in pairs]


def linked_prefix(blocks: Sequence[Block | None]) -> list[Block]:
    """Return the blocks up to the first that is missing or does not name the one before as parent.

    Pure. A node that answers from two chains at once yields a shorter prefix, never a mixed one.
    """
    linked: list[Block] = []
    for block in blocks:
        if block is None or (linked and block.parent_id != linked[-1].block_id):
            break
        linked.append(block)
    return linked
