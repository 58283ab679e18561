"""Loads the named queries of one subject: sql/<subject>.sql."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from pathlib import Path
from typing import Any, Final

import aiosql
from aiosql.types import SQLOperationType

FOLDER = Path(__file__).parent


class Rows:
    """The rows of a query: await them for a list, or walk through them."""

    def __init__(self, fetching: Awaitable[list[Any]]) -> None:
        self._fetching = fetching

    def __await__(self) -> Generator[Any, None, list[Any]]:
        """Run the query and return all rows."""
        return self._fetching.__await__()

    async def __aiter__(self) -> AsyncIterator[Any]:
        """Run the query and yield row by row."""
        for row in await self._fetching:
            yield row


async def _only(fetching: Awaitable[Any]) -> Any:  # noqa: ANN401 - a row, or its one value
    row = await fetching
    return row[0] if row is not None and len(row) == 1 else row


_CALLS: Final[dict[int, tuple[str, Callable[[Awaitable[Any]], Awaitable[Any]] | None]]] = {
    SQLOperationType.SELECT: ("fetch", Rows),
    SQLOperationType.SELECT_ONE: ("fetchrow", None),
    SQLOperationType.SELECT_VALUE: ("fetchval", None),
    SQLOperationType.INSERT_UPDATE_DELETE: ("execute", None),
    SQLOperationType.INSERT_RETURNING: ("fetchrow", _only),
}
"""The connection's method for each kind of query, and what is made of its answer."""


def load_queries(subject: str) -> Any:  # noqa: ANN401 - aiosql makes the attributes at run time
    """Return an object with one function a query; the typed twins wrap it.

    All are awaited: `$` gives a value, `^` a row or None, `!` nothing, no mark a list of rows.
    `answer_s` of a call goes before what the connection waits for an answer otherwise.
    """
    queries = aiosql.from_path(FOLDER / f"{subject}.sql", "asyncpg", mandatory_parameters=False)
    parameters = queries.driver_adapter.var_sorted
    for name in queries.available_queries:
        query = getattr(queries, name)
        setattr(queries, name, _bind(query.sql, parameters[name], *_CALLS[query.operation]))
    return queries


def _bind(
    sql: str,
    parameters: list[str],
    method: str,
    wrap: Callable[[Awaitable[Any]], Awaitable[Any]] | None,
) -> Callable[..., Awaitable[Any]]:
    """Ask asyncpg directly: aiosql's own way takes as long again as the call itself."""

    def run(conn: Any, *, answer_s: float | None = None, **values: Any) -> Awaitable[Any]:  # noqa: ANN401
        arguments = [values[name] for name in parameters]
        answer: Awaitable[Any] = getattr(conn, method)(sql, *arguments, timeout=answer_s)
        return answer if wrap is None else wrap(answer)

    return run
