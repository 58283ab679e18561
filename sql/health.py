"""What the database says of itself and of the workers."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sql.pool import IDLE_IN_TRANSACTION_S, Connection
from sql.queries import load_queries

_queries = load_queries("health")


class Server(NamedTuple):
    """A PostgreSQL server."""

    version: str
    now: datetime
    has_role: bool
    """Whether the role millrace_app was made."""


class LeaseRow(NamedTuple):
    """A lease; `left_s` is negative once it has lapsed."""

    name: str
    holder: UUID
    left_s: float


class Progress(NamedTuple):
    """What a stage has done of a partition."""

    cluster_id: str
    stage: str
    topic: str
    partition: int
    next_offset: int
    idle_s: float


async def applied_migrations(conn: Connection) -> list[str]:
    """Return the versions that were applied, in order."""
    return [row["version"] for row in await _queries.applied_migrations(conn)]


async def read_server(conn: Connection) -> Server:
    """Return the server's version and clock."""
    return Server(*await _queries.read_server(conn))


async def sorts_otherwise(conn: Connection) -> bool:
    """Whether the order of texts has changed since their indexes were made: they may be wrong."""
    return bool(await _queries.sorts_otherwise(conn))


async def late_sequences(conn: Connection) -> list[str]:
    """Return the sequences that would give ids that are there already, as far as we may see."""
    return [row["sequencename"] for row in await _queries.late_sequences(conn)]


async def keeps_settings(conn: Connection) -> bool:
    """Whether the server was told what our connections ask for when they are made."""
    return bool(await _queries.keeps_settings(conn, idle_s=IDLE_IN_TRANSACTION_S))


async def list_leases(conn: Connection) -> list[LeaseRow]:
    """Return every lease by name."""
    return [LeaseRow(*row) for row in await _queries.list_leases(conn)]


async def list_progress(conn: Connection) -> list[Progress]:
    """Return what every stage has done, by stage and partition."""
    return [Progress(*row) for row in await _queries.list_progress(conn)]
