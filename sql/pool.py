"""Connections to Postgres: one pool a process, set up once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, TypeAlias

import asyncpg
import asyncpg.pool

from metrics.catalogue import db_acquire_seconds
from settings.url import check_url

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
CLIENT_GONE_S = 5
"""The server ends a statement this long after its client is gone, and lets go what it locked."""
CANCEL_S = 10.0
"""A server that has not said by then that it ended a statement is not heard any more."""


class MortalConnection(asyncpg.Connection):  # type: ignore[type-arg,misc,unused-ignore]
    """A connection that is closed if the server does not confirm that it ended a statement.

    Whoever was cancelled, or had waited long enough, waits for that before all else. asyncpg gives
    it as long as any statement, and without such a bound waits for good.
    """

    async def _cancel(self, waiter: Any, cancel_waiter: Any = None) -> None:  # noqa: ANN401
        async with asyncio.timeout(CANCEL_S) as limit:
            await super()._cancel(waiter, cancel_waiter)  # type: ignore[misc,unused-ignore]
        if limit.expired():  # what is above takes that for its own end
            self.terminate()


class NotLetIn(ConnectionError):
    """The server takes no connection of ours, as while a password is changed or it is restored."""


class MeasuredPool(asyncpg.Pool):  # type: ignore[type-arg,misc,unused-ignore]
    """A pool that tells how long its users wait for a connection.

    A server that refuses one says nothing of what it was for: that is NotLetIn, whatever its words.
    """

    async def _acquire(self, timeout: float | None) -> Any:  # noqa: ANN401 - as asyncpg has it
        with db_acquire_seconds.time():
            try:
                return await super()._acquire(timeout)  # type: ignore[misc,unused-ignore]
            except asyncpg.PostgresError as refusal:
                raise NotLetIn(str(refusal)) from refusal


async def open_pool(
    database_url: str,
    size: int,
    *,
    keeps_plans: bool = False,
    answer_s: float | None = None,
    writes: bool = False,
    examine: Callable[[Connection], Coroutine[Any, Any, None]] | None = None,
) -> Pool:
    """Open a pool of at most `size` connections; the first one is made at once.

    A statement without an answer after `answer_s` is given up with TimeoutError. ValueError for an
    URL that cannot be read; no error has a piece of its password in it.

    With `writes` no connection is kept to a server that takes none: after a failover an address may
    lead to the standby for a while, and a connection made then would stay. `examine` is given each
    new connection, which is closed if it raises.

    With `keeps_plans` each connection plans a statement once, whatever it is given later: for those
    who say the same few things all day, since planning takes longer than most of them. Postgres by
    itself would plan anew whatever names fewer things than it expects of lists.
    """
    pool = MeasuredPool(
        check_url(database_url),
        command_timeout=answer_s,
        connection_class=MortalConnection,
        record_class=asyncpg.Record,
        init_size=1,
        min_size=1,
        max_size=size,
        max_queries=50_000,
        max_inactive_connection_lifetime=300.0,
        loop=None,
        connect=None,
        setup=None,
        init=examine,
        reset=_keep_session,
        target_session_attrs="read-write" if writes else None,
        server_settings={
            "application_name": "millrace",
            "idle_in_transaction_session_timeout": f"{IDLE_IN_TRANSACTION_S}s",
            "client_connection_check_interval": f"{CLIENT_GONE_S}s",
            "plan_cache_mode": "force_generic_plan" if keeps_plans else "auto",
        },
    )
    await pool
    return pool


async def _keep_session(_: object) -> None:
    """Save the round trip that resets a session: we change none beyond a transaction.

    asyncpg still rolls back a transaction that was left open.
    """
