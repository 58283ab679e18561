"""A running balance changed past the guards is found, though every final balance is right."""

from __future__ import annotations

import pytest

from sql.pool import Pool
from tests.support.books import Books


@pytest.fixture
async def books(pool: Pool, database_url: str) -> Books:
    made = Books(pool, database_url)
    await made.start()
    return made


async def change(books: Books, minor: int) -> None:
    """Change alice's running balance in her first line alone, as a bad restore might."""
    async with books.past_the_guards() as conn:
        await conn.execute(
            "UPDATE journal_lines SET credit_balance_after = credit_balance_after + $1::numeric"
            " WHERE tenant = $2 AND kind = 'DEPOSIT' AND credit_balance_after < 800",
            minor,
            books.tenant,
        )


async def test_a_running_balance_that_does_not_follow_is_named_once_an_account(
    books: Books,
) -> None:
    await books.deposit(700)
    await books.deposit(300)
    assert await books.wrong_in_books() == []
    await change(books, 7)
    (found,) = await books.wrong_in_books()
    assert (found.scope, found.account) == ("balance", f"{books.coin}:available:alice")
    assert (found.expected_minor, found.actual_minor) == (700, 707)
    assert "running balance" in found.detail
    (alarm,) = await books.alarms()
    assert alarm.account == found.account
    await change(books, -7)
    assert await books.wrong_in_books() == []
