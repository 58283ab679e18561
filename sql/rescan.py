"""What a rescan must know before it looks at old blocks."""

from __future__ import annotations

from collections.abc import Sequence

from sql.pool import Connection
from sql.queries import load_queries

_queries = load_queries("rescan")


async def oldest_block(conn: Connection, network: str) -> int | None:
    """Return the lowest height whose block is remembered, None if there is none."""
    height: int | None = await _queries.oldest_block(conn, network=network)
    return height


async def hold_stages(conn: Connection, stages: Sequence[str]) -> None:
    """Let stages wait until this transaction ends. To be called before anything is read in it."""
    await _queries.hold_stages(conn, stages=list(stages))
