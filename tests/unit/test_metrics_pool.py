"""The figures of the pool, on a real one."""

from __future__ import annotations

from metrics.catalogue import REGISTRY
from metrics.pool import watch_pool
from sql.pool import open_pool


def _shown() -> dict[str, float | None]:
    name = "millrace_db_pool_connections"
    return {s: REGISTRY.get_sample_value(name, {"state": s}) for s in ("idle", "used", "max")}


async def test_connections_in_use_are_told_from_idle_ones(database_url: str) -> None:
    async with await open_pool(database_url, size=3) as pool:
        watch_pool(pool)
        assert _shown() == {"idle": 1, "used": 0, "max": 3}
        async with pool.acquire(), pool.acquire():
            assert _shown() == {"idle": 0, "used": 2, "max": 3}
        assert _shown() == {"idle": 2, "used": 0, "max": 3}
