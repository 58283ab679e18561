"""A transaction with an outbox for those who are no stage: loops and the command line."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from agents.runtime.context import Context
from agents.runtime.outlet import Outlet
from agents.runtime.stage import Work
from sql import stream
from sql.pool import Pool
from sql.stream import OutboxRow


def transact(context: Context) -> AbstractAsyncContextManager[Work]:
    """Open a worker's transaction; what is emitted is published right after it commits."""
    return transact_on(context.pool, context.settings.topic_prefix, context.outlet)


@asynccontextmanager
async def transact_on(
    pool: Pool, topic_prefix: str, outlet: Outlet | None = None
) -> AsyncIterator[Work]:
    """Open a transaction; what is emitted and counted is so when, and only if, it commits.

    Published at once by a worker's outlet, within a second or two by relay_outbox without one.
    """
    async with pool.acquire() as conn, conn.transaction():
        work = Work(conn)
        yield work
        rows = await write_outbox(work, topic_prefix)
    work.raise_counters()
    if outlet is not None:
        outlet.offer(rows)


async def write_outbox(work: Work, topic_prefix: str) -> list[OutboxRow]:
    """Write what was emitted into the outbox, as part of the transaction that it is about."""
    return await stream.fill_outbox(
        work.conn, [(topic_prefix + topic, key, payload) for topic, key, payload in work.outbox]
    )
