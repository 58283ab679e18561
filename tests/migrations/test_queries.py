"""Each named query is valid in the migrated database and has a typed Python twin."""

from __future__ import annotations

import importlib
import inspect
import re
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import aiosql
import pytest

from sql.pool import Pool
from sql.queries import FOLDER

SUBJECTS = sorted(file.stem for file in FOLDER.glob("*.sql"))
NAME = re.compile(r"^-- name: (\w+)", re.MULTILINE)


def names_of(file: Path) -> list[str]:
    return NAME.findall(file.read_text())


@cache
def statements_of(subject: str) -> Any:  # noqa: ANN401 - the attributes are made at run time
    return aiosql.from_path(FOLDER / f"{subject}.sql", "asyncpg", mandatory_parameters=False)


QUERIES = [(subject, name) for subject in SUBJECTS for name in names_of(FOLDER / f"{subject}.sql")]


def test_there_are_queries_to_check() -> None:
    assert len(QUERIES) > 30


@pytest.mark.parametrize(("subject", "name"), QUERIES)
async def test_the_database_accepts_the_query(pool: Pool, subject: str, name: str) -> None:
    query = getattr(statements_of(subject), name)
    async with pool.acquire() as connection:
        await connection.prepare(query.sql)


@pytest.mark.parametrize(("subject", "name"), QUERIES)
def test_the_query_has_a_typed_twin(subject: str, name: str) -> None:
    twin = getattr(importlib.import_module(f"sql.{subject}"), name)
    assert inspect.iscoroutinefunction(twin) or inspect.isasyncgenfunction(twin)
    parameters = list(inspect.signature(twin).parameters.values())
    assert parameters[0].annotation == "Connection"
    assert all(parameter.annotation is not inspect.Parameter.empty for parameter in parameters)
    assert twin.__doc__


@pytest.mark.parametrize("subject", SUBJECTS)
def test_each_query_says_what_it_is_for(subject: str) -> None:
    lines = (FOLDER / f"{subject}.sql").read_text().splitlines()
    bare = [
        line
        for line, following in pairwise(lines)
        if NAME.match(line) and not following.startswith("-- ")
    ]
    assert bare == []


def test_no_name_is_used_twice() -> None:
    assert len(QUERIES) == len(set(QUERIES))
