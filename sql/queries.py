"""Loads the named queries of one subject: sql/<subject>.sql."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from pathlib import Path
from typing import Any

import aiosql
from aiosql.types import SQLOperationType

FOLDER = Path(__file__).parent


class Rows:
    """The rows of a query: await them for a list."""

    def __init__(self, rows: AsyncIterator[Any]) -> None:
        self._rows = rows

    def __await__(self) -> Generator[Any, None, list[Any]]:
        """Run the query and return all rows."""
        return self._collect().__await__()

    def __aiter__(self) -> AsyncIterator[Any]:
        """Run the query and yield row by row."""
        return self._rows

    async def _collect(self) -> list[Any]:
        return [row async for row in self._rows]


def load_queries(subject: str) -> Any:  # noqa: ANN401 - aiosql makes the attributes at run time
    """Return an object with one function a query; the typed twins wrap it.

    All are awaited: `$` gives a value, `^` a row or None, `!` nothing, no mark a list of rows.
    """
    queries = aiosql.from_path(FOLDER / f"{subject}.sql", "asyncpg", mandatory_parameters=False)
    for name in queries.available_queries:
        query = getattr(queries, name)
        if getattr(query, "operation", None) is SQLOperationType.SELECT and not name.endswith(
            "_cursor"
        ):
            setattr(queries, name, _awaitable(query))
    return queries


def _awaitable(query: Callable[..., AsyncIterator[Any]]) -> Callable[..., Awaitable[list[Any]]]:
    def run(*args: Any, **kwargs: Any) -> Rows:  # noqa: ANN401
        return Rows(query(*args, **kwargs))

    return run
