"""What a database pool tells of itself, put into metrics."""

from __future__ import annotations

from typing import Protocol

from metrics.catalogue import db_pool_connections


class PoolSizes(Protocol):
    """The part of a pool that is looked at; asyncpg's pools have it."""

    def get_size(self) -> int:
        """Return how many connections are open."""
        ...

    def get_idle_size(self) -> int:
        """Return how many of them nobody uses."""
        ...

    def get_max_size(self) -> int:
        """Return how many there may be."""
        ...


def watch_pool(pool: PoolSizes) -> None:
    """Show the connections of this process's pool from now on, counted anew at every scrape."""
    db_pool_connections.labels("idle").set_function(pool.get_idle_size)
    db_pool_connections.labels("used").set_function(lambda: pool.get_size() - pool.get_idle_size())
    db_pool_connections.labels("max").set_function(pool.get_max_size)
