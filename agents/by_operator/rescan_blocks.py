"""Reads blocks again, for deposits and payments of ours that were missed. Safe at any time.

The blocks do not go through Kafka: match_deposits takes a block that is no longer remembered for
one that left the chain. They are matched here, by the same code, in transactions of their own for
which the stages wait, and only if they are beyond doubt:

- a block that is remembered must be the one the node has, checked in the transaction;
- one that is not must be at least reorg_depth_max below the highest followed block, where no
  reorganisation is allowed to reach.

Heights that match_deposits has not done yet are left to it. A deposit that is there already stays
as it is, unless its token was unknown and is listed now; new ones are confirmed as by
match_deposits and confirm_deposits, and payments by confirm_withdrawals at the next block. What was
decided about these blocks and is not in the journal is told to the ledger again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import NamedTuple

from agents.confirm_withdrawals import ConfirmWithdrawals
from agents.match_deposits import MatchDeposits
from agents.parts.lost_facts import lost_facts
from agents.parts.matcher import Changes, Matcher
from agents.runtime.context import Context
from agents.runtime.stage import Retryable, Work
from agents.runtime.transact import transact_on
from chain_adapters.adapter import ChainReader
from chain_adapters.types import Block, NodeUnavailable
from sql import chain as chain_sql
from sql import deposits as deposits_sql
from sql import rescan as rescan_sql
from sql.deposits import Deposit
from sql.pool import Connection
from topics.blocks import BlockAdded, block_added
from topics.ledger import LEDGER, LedgerFact, batch_facts

BLOCKS_AT_ONCE = 16
ATTEMPTS = 5
RETRY_S = 1.0

Progress = Callable[[int], None]
"""Called with the number of blocks just done."""


class NotRescannable(ValueError):
    """These heights cannot be rescanned now; the message says which can."""


class Reach(NamedTuple):
    """Which heights of a network may be rescanned now."""

    last: int
    """The highest that is followed and matched."""
    oldest: int
    """From here on blocks are remembered."""
    settled: int
    """Up to here no reorganisation reaches."""

    def check(self, start: int, end: int) -> None:
        """Raise NotRescannable unless every height from `start` to `end` may be rescanned."""
        if not 0 <= start <= end <= self.last:
            raise NotRescannable(f"heights must be from 0 to {self.last}, the first not above")
        doubtful = max(start, self.settled + 1)
        if doubtful < min(end + 1, self.oldest):
            raise NotRescannable(
                f"block {doubtful} is neither remembered (those from {self.oldest} on are) nor"
                f" settled (those up to {self.settled} are)"
            )


class Rescanned(NamedTuple):
    """What a rescan changed."""

    detected: list[Deposit]
    """Deposits that were not there, or came back after their block had left the chain."""
    orphaned: list[Deposit]
    """Deposits that stood in a block which is not on the chain."""
    told_again: list[LedgerFact]
    """What the ledger lacked of what was decided before."""


async def read_reach(context: Context, network: str) -> Reach:
    """Return which heights may be rescanned. Raises NotRescannable if none may yet."""
    async with context.pool.acquire() as conn:
        cursor = await chain_sql.read_cursor(conn, network)
        oldest = await rescan_sql.oldest_block(conn, network)
    if cursor is None or cursor.matched_height is None or oldest is None:
        raise NotRescannable(f"{network} has not been followed and matched yet")
    depth_max = context.settings.network(network).reorg_depth_max
    last = min(cursor.height, cursor.matched_height)
    return Reach(last, oldest, cursor.height - depth_max)


class RescanBlocks:
    """Matches blocks of one network again. Call `start` first, as of any stage."""

    def __init__(self, context: Context, reader: ChainReader) -> None:
        self.matcher = Matcher()
        self._context = context
        self._reader = reader
        self._network = reader.network

    async def start(self) -> None:
        """Load the addresses that are watched so far."""
        async with self._context.pool.acquire() as conn:
            await self.matcher.load(conn)

    async def rescan(self, start: int, end: int, progress: Progress) -> Rescanned:
        """Match the blocks from `start` to `end`, both included, a few in each transaction.

        What was done stays done if it ends early. Raises NotRescannable, NodeUnavailable, and
        Retryable if the chain keeps changing under it.
        """
        (await read_reach(self._context, self._network)).check(start, end)
        rescanned = Rescanned([], [], [])
        parent: Block | None = None
        for first in range(start, end + 1, BLOCKS_AT_ONCE):
            heights = range(first, min(first + BLOCKS_AT_ONCE, end + 1))
            parent = await self._rescan_some(heights, parent, rescanned)
            progress(len(heights))
        return rescanned

    async def _rescan_some(
        self, heights: range, parent: Block | None, rescanned: Rescanned
    ) -> Block:
        for attempt in range(ATTEMPTS):
            if attempt:
                await asyncio.sleep(RETRY_S)
            blocks = await self._read(heights)
            # A reorganisation may have replaced the block before, so it is asked once only.
            linked = are_linked([parent, *blocks] if parent and not attempt else blocks)
            if linked and await self._match(blocks, rescanned):
                return blocks[-1]
        raise Retryable(f"the blocks from {heights[0]} on keep changing; try again later")

    async def _read(self, heights: range) -> list[Block]:
        blocks = await asyncio.gather(*map(self._reader.fetch_block, heights))
        for height, block in zip(heights, blocks, strict=True):
            if block is None or block.height != height:
                raise NodeUnavailable(f"the node has no block {height}")
        return [block for block in blocks if block is not None]

    async def _match(self, blocks: Sequence[Block], rescanned: Rescanned) -> bool:
        """Match blocks unless one of them is not on the best chain as we follow it."""
        settings = self._context.settings
        async with transact_on(self._context.pool, settings.topic_prefix) as work:
            # They would not see what is written here, if these blocks left the chain meanwhile.
            await rescan_sql.hold_stages(work.conn, [MatchDeposits.name, ConfirmWithdrawals.name])
            if not await are_canonical(work.conn, self._network, blocks):
                return False
            records = [record for block in blocks for record in block_added(self._network, block)]
            told_again = await self._tell_again(work, blocks[0].height, blocks[-1].height)
            # In this order: who settles a payment holds that and waits for the cursor, as here.
            await ConfirmWithdrawals(self._context).search_again(work, self._network, records)
            detected, orphaned = await self._rematch(work, records)
        rescanned.detected.extend(detected)
        rescanned.orphaned.extend(orphaned)
        rescanned.told_again.extend(told_again)
        return True

    async def _tell_again(self, work: Work, first: int, last: int) -> list[LedgerFact]:
        facts = await lost_facts(work.conn, self._network, first, last, tip_height=last)
        for record in batch_facts(facts):
            work.emit(LEDGER, self._network, record)
        return facts

    async def _rematch(
        self, work: Work, records: Sequence[BlockAdded]
    ) -> tuple[list[Deposit], list[Deposit]]:
        matcher, network, changes = self.matcher, self._network, Changes.none()
        cursor = await chain_sql.read_cursor(work.conn, network)
        seen, owned = await matcher.look(work, network, records)
        found = await matcher.find(work, network, seen, owned)
        if any(found):
            stale = await deposits_sql.stale_blocks(work.conn, network, found.transaction_ids())
            await matcher.orphan(work, network, stale, changes)
            await matcher.detect(work, network, found, changes, cursor=cursor)
            await matcher.tell(work, network, records, changes, due=True)
        return changes.detected, changes.orphaned


async def are_canonical(conn: Connection, network: str, blocks: Sequence[Block]) -> bool:
    """Whether all of these blocks that are remembered are on the best chain as we follow it.

    The caller holds the stages, and has seen that the others are in reach (see Reach).
    """
    oldest = await rescan_sql.oldest_block(conn, network)
    remembered = [
        (block.height, block.block_id)
        for block in blocks
        if oldest is None or block.height >= oldest
    ]
    canonical = await chain_sql.canonical_blocks(conn, network, remembered)
    return len(canonical) == len(remembered)


def are_linked(blocks: Sequence[Block]) -> bool:
    """Whether each block names the one before as its parent. Pure."""
    return all(block.parent_id == before.block_id for before, block in pairwise(blocks))
