"""How far a chain is final and searched, in the measure by which its transactions expire."""

from __future__ import annotations

from agents.confirm_deposits import final_height_of
from settings.model import Network
from sql import chain as chain_sql
from sql.pool import Connection


async def final_clock(conn: Connection, config: Network) -> int | None:
    """Return the clock of the highest block that is final and was searched for our transactions.

    What was valid until then and is in no block can never land. None: nothing is known yet.
    """
    cursor = await chain_sql.read_cursor(conn, config.network)
    if cursor is None or cursor.settled_height is None:
        return None
    final_height = min(
        cursor.height - config.confirmations + 1,
        final_height_of(cursor, config.finality),
        # A block comes in parts: only those below the newest are known to be searched whole.
        cursor.settled_height - 1,
    )
    return await chain_sql.clock_at(conn, config.network, final_height)
