"""blocks → deposits, ledger: which transfers of a block came to addresses of ours, what we paid.

State-based: a record only says which block to look at; whether that block is on the best chain is
asked of the blocks table. Repeated, late and reordered records therefore end in the same deposits.
What the network took from our addresses beside transfers is found and undone in the same way.
A deposit that is deep enough when it is found is confirmed with it; all others wait for
confirm_deposits, which hears of a block only if something may be due.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence

from agents.parts.matcher import Changes, Matcher
from agents.runtime.context import Context
from agents.runtime.stage import LocalStage, Work
from sql import chain as chain_sql
from sql import deposits as deposits_sql
from topics.blocks import BLOCKS, BlockAdded, BlockRecord


class MatchDeposits(LocalStage[BlockRecord]):
    """Writes deposits of added blocks, orphans those of removed ones."""

    name = "match_deposits"
    topic = BLOCKS
    batch_max = 25

    def __init__(self, context: Context) -> None:
        self._context = context
        self._matcher = Matcher()

    async def start(self) -> None:
        """Load the addresses that are watched so far."""
        async with self._context.pool.acquire() as conn:
            await self._matcher.load(conn)

    async def apply(self, work: Work, records: Sequence[BlockRecord], _: None) -> None:
        """Bring the deposits of all blocks named in `records` to what the best chain says."""
        by_network: dict[str, list[BlockRecord]] = defaultdict(list)
        for record in records:
            by_network[record.network].append(record)
        # In one order in all stages: each holds a network's cursor until its transaction ends.
        for network, block_records in sorted(by_network.items()):
            await self._match_network(work, network, block_records)

    async def _match_network(
        self, work: Work, network: str, records: Sequence[BlockRecord]
    ) -> None:
        matcher = self._matcher
        survey, seen = await matcher.survey(work, network, records)
        standing = {block for block, canonical in survey.standing.items() if canonical}
        gone = survey.standing.keys() - standing
        changes = Changes.none()
        found = await matcher.find(work, network, seen.within(standing), survey.owned)
        await matcher.orphan(work, network, gone, changes)
        there = await matcher.detect(work, network, found, changes, cursor=survey.cursor)
        if any(there):
            # Repeats, or what stands in an old block whose removal we have not been told of yet.
            stale = await deposits_sql.stale_blocks(work.conn, network, there.transaction_ids())
            if stale:
                await matcher.orphan(work, network, stale, changes)
                await matcher.detect(work, network, there, changes, cursor=survey.cursor)
        searched = whole_height(records, standing)
        if searched is not None:
            await chain_sql.mark_matched(work.conn, network, searched)
        unconfirmed = any(deposit.status == "detected" for deposit in changes.detected)
        due = survey.due or unconfirmed or bool(found.costs)
        await matcher.tell(work, network, records, changes, due=due)


def whole_height(
    records: Iterable[BlockRecord], standing: Collection[tuple[int, str]]
) -> int | None:
    """Return the highest block of the best chain of which all parts are done now. Pure.

    None if there is none: Kafka may still have blocks that a restored database has not followed
    again, and those are not searched.
    """
    return max(
        (
            record.height
            for record in records
            if isinstance(record, BlockAdded)
            and record.part == record.parts - 1
            and (record.height, record.block_id) in standing
        ),
        default=None,
    )
