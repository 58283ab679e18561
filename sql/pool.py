"""Connections to Postgres: one pool a process, set up once."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import asyncpg
import asyncpg.pool

if TYPE_CHECKING:
    Pool: TypeAlias = asyncpg.Pool[asyncpg.Record]
    Connection: TypeAlias = (
        asyncpg.Connection[asyncpg.Record] | asyncpg.pool.PoolConnectionProxy[asyncpg.Record]
    )
else:
    Pool = asyncpg.Pool
    Connection = asyncpg.Connection

IDLE_IN_TRANSACTION_S = 30
"""A worker that stopped in the middle of a transaction loses its locks after this."""


async def open_pool(database_url: str, size: int) -> Pool:
    """Open a pool of at most `size` connections; the first one is made at once."""
    return await asyncpg.create_pool(
        database_url,
        min_size=1,
        max_size=size,
        server_settings={
            "application_name": "millrace",
            "idle_in_transaction_session_timeout": f"{IDLE_IN_TRANSACTION_S}s",
        },
    )
