"""What must be there for a worker to live and to work."""

from __future__ import annotations

from collections.abc import Mapping

from agents.runtime.context import Context
from metrics.server import Check


def health_checks(context: Context) -> tuple[Mapping[str, Check], Mapping[str, Check]]:
    """Return the checks of /livez and of /readyz.

    A worker whose database or broker is away lives on: a restart would not bring them back.
    """

    async def event_loop() -> str | None:
        return None

    async def database() -> str | None:
        async with context.pool.acquire() as conn:
            await conn.execute("SELECT 1")
        return None

    async def broker() -> str | None:
        await context.publisher.require_answer()
        return None

    return {"event_loop": event_loop}, {"database": database, "broker": broker}
