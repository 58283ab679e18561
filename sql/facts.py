"""Whether what a fact says still holds, by the tables it is about."""

from __future__ import annotations

from collections.abc import Sequence

from sql.arrays import array_literal
from sql.deposits import Deposit
from sql.pool import Connection
from sql.queries import load_queries

_queries = load_queries("facts")


async def standing_deposits(
    conn: Connection, revisions: Sequence[tuple[int, int]]
) -> set[tuple[int, int]]:
    """Return those (deposit id, revision) that are confirmed at this moment."""
    if not revisions:
        return set()
    rows = await _queries.standing_deposits(
        conn,
        deposit_ids=array_literal([deposit_id for deposit_id, _ in revisions]),
        revisions=array_literal([revision for _, revision in revisions]),
    )
    return {(deposit_id, revision) for deposit_id, revision in rows}


async def confirmed_again(conn: Connection, revisions: Sequence[tuple[int, int]]) -> list[Deposit]:
    """Return deposits that are confirmed now in a later revision than (deposit id, revision)."""
    rows = await _queries.confirmed_again(
        conn,
        deposit_ids=[deposit_id for deposit_id, _ in revisions],
        revisions=[revision for _, revision in revisions],
    )
    return [Deposit(*row) for row in rows]


async def standing_costs(
    conn: Connection, revisions: Sequence[tuple[int, int]]
) -> set[tuple[int, int]]:
    """Return those (cost id, revision) that are confirmed at this moment."""
    if not revisions:
        return set()
    rows = await _queries.standing_costs(
        conn,
        cost_ids=[cost_id for cost_id, _ in revisions],
        revisions=[revision for _, revision in revisions],
    )
    return {(row["cost_id"], row["revision"]) for row in rows}


async def standing_withdrawals(
    conn: Connection, states: Sequence[tuple[int, int, str]]
) -> set[tuple[int, int, str]]:
    """Return those (withdrawal id, revision, status) that hold at this moment."""
    if not states:
        return set()
    rows = await _queries.standing_withdrawals(
        conn,
        withdrawal_ids=[withdrawal_id for withdrawal_id, _, _ in states],
        revisions=[revision for _, revision, _ in states],
        statuses=[status for _, _, status in states],
    )
    return {(row["withdrawal_id"], row["revision"], row["status"]) for row in rows}
