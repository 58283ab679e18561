"""Arrays that travel as text arrive in Postgres item by item."""

from __future__ import annotations

import pytest

from sql.arrays import array_literal
from sql.pool import Pool

CONTROLS = [f"a{chr(code)}b" for code in range(1, 32)]
ODD = ["", " ", "NULL", "null", '"', "\\", '\\"', "a,b", "{}", "{", "\\n", "ä\u2028\x7f", "🦑"]


@pytest.mark.parametrize(
    "items", [[], [""], [None], ["plain", None], ODD, [*ODD, *CONTROLS, None]], ids=len
)
async def test_every_text_arrives_as_it_was(pool: Pool, items: list[str | None]) -> None:
    async with pool.acquire() as conn:
        assert await conn.fetchval("SELECT $1::text::text []", array_literal(items)) == items


async def test_numbers_arrive_as_they_were(pool: Pool) -> None:
    numbers = [0, -1, 2**63 - 1, -(2**63), None]
    async with pool.acquire() as conn:
        assert await conn.fetchval("SELECT $1::text::bigint []", array_literal(numbers)) == numbers
