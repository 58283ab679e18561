"""The best chain as follow_chain has read it, and how far it got."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

from chain_adapters.types import Block, Tip
from sql.pool import Connection
from sql.queries import load_queries

_queries = load_queries("chain")


class Cursor(NamedTuple):
    """How far a network is followed; see the cursors table."""

    height: int
    safe_height: int | None
    finalized_height: int | None
    node_height: int
    matched_height: int | None
    halted_reason: str | None
    settled_height: int | None


class Place(NamedTuple):
    """Where the follower of a network is."""

    height: int
    halted: bool
    block_id: str | None
    """The newest block; None if there is none left."""


class Fence(NamedTuple):
    """Who may write: the holder of a lease."""

    lease: str
    holder: UUID


class BlockRow(NamedTuple):
    """A block of the best chain as read."""

    height: int
    block_id: str
    parent_id: str
    published: bool


async def read_cursor(conn: Connection, network: str) -> Cursor | None:
    """Return the cursor, None if the network was never followed."""
    row = await _queries.read_cursor(conn, network=network)
    return None if row is None else Cursor(*row)


async def recent_blocks(conn: Connection, network: str, limit_rows: int) -> list[BlockRow]:
    """Return the newest blocks, newest first."""
    rows = await _queries.recent_blocks(conn, network=network, limit_rows=limit_rows)
    return [BlockRow(*row) for row in rows]


async def read_place(conn: Connection, network: str) -> Place | None:
    """Return how far a network is followed, None if it never was."""
    row = await _queries.read_place(conn, network=network)
    return None if row is None else Place(*row)


async def append_blocks(
    conn: Connection,
    network: str,
    blocks: Sequence[Block],
    tip: Tip,
    *,
    height_before: int,
    fence: Fence,
) -> tuple[bool, bool]:
    """Append blocks, unpublished, and move the cursor onto them and the node's tip.

    Returns whether the lease is held, and whether the blocks were appended: nothing is written
    without the lease, nor if the cursor is not at `height_before` any more or halted. A network
    that was never followed has no cursor and begins anywhere. A height that is there already is an
    error. Not for a transaction with other effects: its commit does not wait for the disk.
    """
    row = await _queries.append_blocks(
        conn,
        network=network,
        height=blocks[-1].height,
        height_before=height_before,
        safe_height=tip.safe_height,
        finalized_height=tip.finalized_height,
        node_height=tip.height,
        heights=[block.height for block in blocks],
        block_ids=[block.block_id for block in blocks],
        parent_ids=[block.parent_id for block in blocks],
        clocks=[block.clock for block in blocks],
        lease=fence.lease,
        holder=fence.holder,
    )
    return row["held"], row["appended"]


async def mark_published(
    conn: Connection, network: str, heights: Sequence[int], fence: Fence
) -> bool:
    """Remember that Kafka has these blocks; False, and nothing is done, without the lease.

    Not for a transaction with other effects: its commit does not wait for the disk.
    """
    held: bool = await _queries.mark_published(
        conn, network=network, heights=list(heights), lease=fence.lease, holder=fence.holder
    )
    return held


async def remove_blocks(conn: Connection, network: str, from_height: int) -> list[tuple[int, str]]:
    """Take blocks off the best chain; return (height, block id), newest first."""
    rows = await _queries.remove_blocks(conn, network=network, from_height=from_height)
    return [(row["height"], row["block_id"]) for row in rows]


async def move_cursor(conn: Connection, network: str, height: int, tip: Tip) -> None:
    """Set the cursor to `height` and remember the node's tip."""
    await _queries.move_cursor(
        conn,
        network=network,
        height=height,
        safe_height=tip.safe_height,
        finalized_height=tip.finalized_height,
        node_height=tip.height,
    )


async def halt_network(conn: Connection, network: str, reason: str | None) -> None:
    """Stop following; None resumes."""
    await _queries.halt_network(conn, network=network, reason=reason)


async def lock_cursor(conn: Connection, network: str) -> int | None:
    """Let nobody move the cursor before this transaction ends; return its height."""
    height: int | None = await _queries.lock_cursor(conn, network=network)
    return height


async def mark_settled(conn: Connection, network: str, height: int, block_id: str) -> None:
    """Remember the highest block that confirm_withdrawals has done, if it is on the best chain."""
    await lock_cursor(conn, network)
    await _queries.mark_settled(conn, network=network, height=height, block_id=block_id)


async def clock_at(conn: Connection, network: str, height: int) -> int | None:
    """Return the clock of the highest block up to `height`, None if there is none."""
    clock: int | None = await _queries.clock_at(conn, network=network, height=height)
    return clock


async def mark_matched(conn: Connection, network: str, height: int) -> None:
    """Remember the highest matched block."""
    await _queries.mark_matched(conn, network=network, height=height)


async def canonical_blocks(
    conn: Connection, network: str, blocks: Sequence[tuple[int, str]]
) -> set[str]:
    """Return the ids of those (height, block id) that are on the best chain now."""
    rows = await _queries.canonical_blocks(
        conn,
        network=network,
        heights=[height for height, _ in blocks],
        block_ids=[block_id for _, block_id in blocks],
    )
    return {row["block_id"] for row in rows}


async def prune_blocks(conn: Connection, network: str, keep_blocks: int) -> None:
    """Forget all but the newest matched blocks."""
    await _queries.prune_blocks(conn, network=network, keep_blocks=keep_blocks)
