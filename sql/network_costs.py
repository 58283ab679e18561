"""What the network took from addresses of ours beside transfers and withdrawals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sql.pool import Connection
from sql.queries import load_queries

_queries = load_queries("network_costs")


class NewCost(NamedTuple):
    """A cost about to be written. The amount is a decimal string of the native asset."""

    transaction_id: str
    tenant: str
    purpose: str
    address: str
    asset: str
    amount_minor: str
    height: int
    block_id: str
    confirm_height: int


class NetworkCost(NamedTuple):
    """A cost as it stands; see the network_costs table."""

    cost_id: int
    revision: int
    tenant: str
    purpose: str
    asset: str
    amount_minor: str
    network: str
    address: str
    transaction_id: str
    height: int
    block_id: str


async def detect_costs(conn: Connection, network: str, costs: Sequence[NewCost]) -> set[str]:
    """Write costs; return the transactions of those that are new or were orphaned before.

    No transaction may stand in `costs` twice.
    """
    columns = list(zip(*costs, strict=True))
    rows = await _queries.detect_costs(
        conn,
        network=network,
        transaction_ids=columns[0],
        tenants=columns[1],
        purposes=columns[2],
        addresses=columns[3],
        assets=columns[4],
        amounts_minor=columns[5],
        heights=columns[6],
        block_ids=columns[7],
        confirm_heights=columns[8],
    )
    return {row["transaction_id"] for row in rows}


async def orphan_costs(
    conn: Connection, network: str, blocks: Sequence[tuple[int, str]]
) -> list[NetworkCost]:
    """Mark the costs of (height, block id) orphaned; return those that were confirmed."""
    rows = await _queries.orphan_costs(
        conn,
        network=network,
        heights=[height for height, _ in blocks],
        block_ids=[block_id for _, block_id in blocks],
    )
    return [NetworkCost(*row) for row in rows]


async def confirm_costs(
    conn: Connection, network: str, tip_height: int, final_height: int
) -> list[NetworkCost]:
    """Confirm what has its confirmations at `tip_height` and is not above `final_height`."""
    rows = await _queries.confirm_costs(
        conn, network=network, tip_height=tip_height, final_height=final_height
    )
    return [NetworkCost(*row) for row in rows]


async def decided_costs(
    conn: Connection, network: str, first: int, last: int
) -> list[tuple[NetworkCost, str]]:
    """Return the costs in blocks from `first` to `last`, each with its status."""
    rows = await _queries.decided_costs(conn, network=network, first=first, last=last)
    return [(NetworkCost(*cost), status) for *cost, status in rows]


async def disown_cost(
    conn: Connection, network: str, transaction_id: str
) -> tuple[NetworkCost, bool] | None:
    """Drop the cost of a withdrawal's transaction; return it and whether it was booked."""
    rows = await _queries.disown_cost(conn, network=network, transaction_id=transaction_id)
    return next(((NetworkCost(*row[:-1]), row["booked"]) for row in rows), None)
