"""What the chain, the ledger and the balances are compared by, and what the comparisons found."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Literal, NamedTuple, TypeAlias

from sql.ledger import WHOLE_JOURNAL_S
from sql.pool import Connection
from sql.queries import load_queries

_queries = load_queries("reconciliation")

Scope: TypeAlias = Literal["chain", "ledger", "balance"]
"""chain: node or its records against the ledger. ledger: debits against credits. balance: a balance
against its postings."""


class ChainState(NamedTuple):
    """Up to where a network's records can be compared."""

    height: int
    block_id: str
    settled: bool
    """Every stage has done its part up to this height, as far as the database can tell."""
    last_serial: int
    """Of the newest address."""


class AddressFigure(NamedTuple):
    """What should be on one address in one asset."""

    tenant: str
    address: str
    asset: str
    contract: str | None
    recorded_minor: int


class WalletFigure(NamedTuple):
    """Movements of one wallet account that stand in one relation to the journal.

    See wallet_figures in reconciliation.sql for the reasons.
    """

    tenant: str
    asset: str
    bucket: str
    reason: str
    movements: int
    recorded_minor: int
    booked_minor: int
    reference_ids: tuple[str, ...]
    """The first ten of those that should not be, e.g. "deposit 17"."""


class WalletBalance(NamedTuple):
    """What the ledger's balances say is on one wallet account."""

    tenant: str
    asset: str
    bucket: str
    balance_minor: int


class DifferenceRow(NamedTuple):
    """Two figures that had to be equal and were not. Empty texts where nobody knows whose it is."""

    scope: Scope
    tenant: str
    asset: str
    account: str
    expected_minor: int
    actual_minor: int
    detail: str


class NewRun(NamedTuple):
    """A run about to be kept. Without a network it is one of the books in themselves."""

    network: str | None
    height: int | None
    block_id: str | None
    settled: bool
    figures: int
    started_at: datetime


class Run(NamedTuple):
    """A run as it was kept."""

    run_id: int
    network: str | None
    height: int | None
    block_id: str | None
    settled: bool
    figures: int
    started_at: datetime
    finished_at: datetime


def snapshot(conn: Connection) -> AbstractAsyncContextManager[object]:
    """Open a transaction that reads everything as of one moment, and writes nothing."""
    return conn.transaction(isolation="repeatable_read", readonly=True)


async def chain_state(conn: Connection, network: str) -> ChainState | None:
    """Return up to where a network can be compared; None if it was never followed and matched."""
    row = await _queries.chain_state(conn, network=network)
    return None if row is None else ChainState(*row)


async def allow_memory(conn: Connection, work_mem: str) -> None:
    """Let the current transaction use so much memory, e.g. "64MB", for each sort or hash table."""
    await _queries.allow_memory(conn, work_mem=work_mem)


async def address_figures(
    conn: Connection,
    network: str,
    height: int,
    *,
    first_serial: int,
    stretch: int,
    limit_rows: int | None,
    only: Sequence[str] | None,
) -> tuple[list[AddressFigure], int]:
    """Return what should be on addresses after block `height`, and how many there are in all.

    Wallets and addresses with movements are always among them, up to the limit, and so are those
    with a serial from `first_serial` to below `first_serial` + `stretch`, used or not. `only`
    leaves out all other addresses.
    """
    rows = await _queries.address_figures(
        conn,
        network=network,
        height=height,
        first_serial=first_serial,
        stretch=stretch,
        limit_rows=limit_rows,
        only=None if only is None else list(only),
        answer_s=WHOLE_JOURNAL_S,
    )
    figures = [AddressFigure._make((*row[:4], int(row["recorded_minor"]))) for row in rows]
    return figures, rows[0]["total"] if rows else 0


async def wallet_figures(
    conn: Connection,
    network: str,
    height: int,
    *,
    overdue_before: datetime,
    overdue_below_height: int,
) -> list[WalletFigure]:
    """Return each wallet account's movements by reason. Reads all deposits and the whole journal.

    What was decided before `overdue_before`, or orphaned below `overdue_below_height`, should be
    in the journal by now.
    """
    rows = await _queries.wallet_figures(
        conn,
        network=network,
        height=height,
        overdue_before=overdue_before,
        overdue_below_height=overdue_below_height,
        answer_s=WHOLE_JOURNAL_S,
    )
    return [
        WalletFigure._make((*row[:5], int(row[5]), int(row[6]), tuple(row["reference_ids"])))
        for row in rows
    ]


async def wallet_balances(conn: Connection, network: str) -> list[WalletBalance]:
    """Return the balances of all wallet accounts in the assets of a network."""
    rows = await _queries.wallet_balances(conn, network=network)
    return [WalletBalance._make((*row[:3], int(row["balance_minor"]))) for row in rows]


async def add_run(conn: Connection, run: NewRun, differences: Sequence[DifferenceRow]) -> int:
    """Keep what a run found; return its id. No account may stand in `differences` twice."""
    columns = list(zip(*differences, strict=True)) or [()] * len(DifferenceRow._fields)
    run_id: int = await _queries.add_run(
        conn,
        **run._asdict(),
        scopes=columns[0],
        tenants=columns[1],
        assets=columns[2],
        accounts=columns[3],
        expected_minors=list(map(str, columns[4])),
        actual_minors=list(map(str, columns[5])),
        details=columns[6],
    )
    return run_id


async def last_runs(conn: Connection, *, settled_only: bool = False) -> list[Run]:
    """Return the newest run of the books and of each network."""
    return [Run(*row) for row in await _queries.last_runs(conn, settled_only=settled_only)]


async def run_differences(
    conn: Connection, run_ids: Sequence[int]
) -> dict[int, list[DifferenceRow]]:
    """Return what these runs found, by run; a run that found nothing has an empty list."""
    found: dict[int, list[DifferenceRow]] = {run_id: [] for run_id in run_ids}
    for row in await _queries.run_differences(conn, run_ids=list(run_ids)):
        difference = DifferenceRow._make((*row[1:5], int(row[5]), int(row[6]), row["detail"]))
        found[row["run_id"]].append(difference)
    return found
