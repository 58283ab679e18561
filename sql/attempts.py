"""Attempts at withdrawals that no block shows: which need another one, and which can never land."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from sql.pool import Connection
from sql.queries import load_queries
from sql.transactions import RawTransaction

_queries = load_queries("attempts")


class StuckWithdrawal(NamedTuple):
    """A withdrawal that needs another transaction. `expired`: those before can never land."""

    withdrawal_id: int
    expired: bool


class Attempt(NamedTuple):
    """The latest transaction of a withdrawal."""

    withdrawal_id: int
    transaction_id: str
    attempt: int
    unsigned: bytes


async def stuck_transactions(
    conn: Connection, network: str, after_s: float, final_clock: int | None
) -> list[StuckWithdrawal]:
    """Return withdrawals that wait for more than `after_s`, or whose transactions expired.

    `final_clock` is the clock of the highest block that is final and was searched for them.
    """
    rows = await _queries.stuck_transactions(
        conn, network=network, after_s=after_s, final_clock=final_clock
    )
    return [StuckWithdrawal(*row) for row in rows]


async def expire_transactions(
    conn: Connection, withdrawal_ids: Iterable[int], final_clock: int
) -> None:
    """Mark attempts that can never land any more."""
    await _queries.expire_transactions(
        conn, withdrawal_ids=sorted(set(withdrawal_ids)), final_clock=final_clock
    )


async def unguarded_attempts(
    conn: Connection, withdrawal_ids: Iterable[int]
) -> dict[str, tuple[int, RawTransaction]]:
    """Return the transactions of withdrawals that only expiry keeps from landing twice, by id.

    Each with its withdrawal.
    """
    rows = await _queries.unguarded_attempts(conn, withdrawal_ids=sorted(set(withdrawal_ids)))
    return {row[1]: (row[0], RawTransaction(*row[1:])) for row in rows}


async def latest_attempts(conn: Connection, withdrawal_ids: Iterable[int]) -> dict[int, Attempt]:
    """Return the latest attempt of each withdrawal of which none is mined."""
    rows = await _queries.latest_attempts(conn, withdrawal_ids=sorted(set(withdrawal_ids)))
    return {row["withdrawal_id"]: Attempt(*row) for row in rows}
