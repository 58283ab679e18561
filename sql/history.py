"""Forgets what was kept long enough. The journal, deposits and withdrawals are kept for ever."""

from __future__ import annotations

from datetime import datetime

from sql.pool import Connection
from sql.queries import load_queries

_queries = load_queries("history")


async def tell_time(conn: Connection) -> datetime:
    """Return the moment by the database's clock."""
    now: datetime = await _queries.tell_time(conn)
    return now


async def prune_runs(conn: Connection, before: datetime, limit_rows: int) -> int:
    """Forget the oldest reconciliations that ended before a moment; return how many."""
    return len(await _queries.prune_runs(conn, before=before, limit_rows=limit_rows))


async def prune_dead_letters(conn: Connection, before: datetime, limit_rows: int) -> int:
    """Forget the oldest dead letters redriven or discarded before a moment; return how many."""
    return len(await _queries.prune_dead_letters(conn, before=before, limit_rows=limit_rows))
