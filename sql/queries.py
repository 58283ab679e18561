"""Loads the named queries of one subject: sql/<subject>.sql."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import aiosql

FOLDER = Path(__file__).parent


def load_queries(subject: str) -> Any:  # noqa: ANN401 - aiosql makes the attributes at run time
    """Return an object with one coroutine function a query; the typed twins wrap it."""
    return aiosql.from_path(FOLDER / f"{subject}.sql", "asyncpg", mandatory_parameters=False)
