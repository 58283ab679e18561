"""Single dead letters; sql.stream parks and redrives them."""

from __future__ import annotations

from sql.pool import Connection
from sql.queries import load_queries
from sql.stream import DeadLetter, StoredDeadLetter

_queries = load_queries("dead_letters")


async def find_dead_letter(conn: Connection, letter_id: int) -> StoredDeadLetter | None:
    """Return an open dead letter by its id."""
    row = await _queries.find_dead_letter(conn, letter_id=letter_id)
    return None if row is None else StoredDeadLetter(row[0], DeadLetter(*row[1:8]), row[8])
