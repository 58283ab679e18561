"""What a rescan must know before it looks at old blocks."""

from __future__ import annotations

from sql.pool import Connection
from sql.queries import load_queries

_queries = load_queries("rescan")


async def oldest_block(conn: Connection, network: str) -> int | None:
    """Return the lowest height whose block is remembered, None if there is none."""
    height: int | None = await _queries.oldest_block(conn, network=network)
    return height
