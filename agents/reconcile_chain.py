"""Compares the chain, the ledger and the balances, by the clock and on demand.

Three comparisons, each exact: what nodes find on our addresses with what we recorded from blocks;
those records with the wallet accounts of the ledger; balances with their postings and debits with
credits. docs/reconciliation.md explains them. Nothing is ever corrected here.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import structlog

from agents.parts.reconcile_figures import (
    Persistence,
    Report,
    compare_books,
    identity,
)
from agents.parts.reconcile_look import Look, NotFollowed, Observer, Progress
from agents.runtime.context import Context
from agents.runtime.loop import Loop
from agents.runtime.transact import transact_on
from chain_adapters.adapter import ChainReader
from chain_adapters.types import NodeUnavailable
from sql import ledger as ledger_sql
from sql import reconciliation as tables
from sql.pool import Connection, Pool
from sql.reconciliation import DifferenceRow, NewRun
from topics import event_data, events
from topics.events import emit_events

log = structlog.get_logger(__name__)

ADDRESSES_MAX = 20_000
"""Balances asked of a node in one run by the clock: some 20 s at 1,000 answers a second."""
RETRY_S = 30.0
"""When a network could not be reconciled, the next run comes so soon."""


@dataclass(frozen=True)
class Patience:
    """How a difference is told from something under way."""

    looks_needed: int = 3
    """A difference counts once it was there in so many looks in a row."""
    looks_max: int = 10
    pause_s: float = 3.0
    """Between two looks."""


def _ignore_progress(done: int, total: int) -> None:
    """Nobody watches."""


async def reconcile_network(
    pool: Pool,
    reader: ChainReader,
    *,
    topic_prefix: str,
    addresses_max: int | None = None,
    progress: Progress = _ignore_progress,
    patience: Patience = Patience(),
) -> Report:
    """Compare one network with its records and these with the ledger; keep and tell the result.

    `addresses_max` limits how many balances are asked of the node: wallets first, then a random
    stretch of all addresses, then those used last; None asks for every address that was ever used.

    Raises NotFollowed, and NodeUnavailable if the node does not have the balances of the block
    that is compared; nothing is kept then. A network that is followed closely is compared near
    its tip; far behind it, only an archive node can answer.
    """
    started_at = datetime.now(UTC)
    observer = Observer(pool, reader, addresses_max, progress)
    persistence = Persistence(patience.looks_needed)
    for number in range(patience.looks_max):
        if number:
            await asyncio.sleep(patience.pause_s)
        look = await observer.look()
        settled = look.canonical and look.caught_up and look.state.settled
        persisting, passing = persistence.look(look.differences, settled=settled)
        if look.canonical and (persisting or not passing):
            report = _report(reader.network, started_at, look, persisting, passing)
            break
    else:
        report = _report(reader.network, started_at, look, [], passing, settled=False)
    await _keep(pool, topic_prefix, report)
    return report


async def reconcile_books(pool: Pool, *, topic_prefix: str) -> Report:
    """Compare balances with postings, and debits with credits; keep and tell the result.

    Running balances too. One snapshot of the database is consistent in itself, so there is nothing
    to wait for. Reads the whole journal.
    """
    started_at = datetime.now(UTC)
    async with pool.acquire() as conn, tables.snapshot(conn):
        wrong = await ledger_sql.verify_ledger(conn)
        postings = await ledger_sql.verify_running_balances(conn)
        imbalances = await ledger_sql.fetch_imbalances(conn)
        figures = len(await ledger_sql.fetch_trial_balance(conn))
    report = Report(
        network=None,
        height=None,
        block_id=None,
        started_at=started_at,
        finished_at=datetime.now(UTC),
        settled=True,
        figures=figures,
        figures_total=figures,
        differences=tuple(compare_books(wrong, postings, imbalances)),
    )
    await _keep(pool, topic_prefix, report)
    return report


class ReconcileChain(Loop):
    """Compares everything, one network after the other, and rests nine times as long as it took."""

    name = "reconcile_chain"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.every_s = context.settings.reconcile_every_s

    async def run_once(self) -> float:
        """Compare all networks, then the books. A network whose node is away is left for later."""
        started = time.monotonic()
        settings = self.context.settings
        left = False
        for network, adapter in self.context.adapters.items():
            try:
                await reconcile_network(
                    self.context.pool,
                    adapter,
                    topic_prefix=settings.topic_prefix,
                    addresses_max=ADDRESSES_MAX,
                )
            except (NotFollowed, NodeUnavailable) as fault:
                log.warning("not reconciled", network=network, fault=repr(fault)[:300])
                left = True
        await reconcile_books(self.context.pool, topic_prefix=settings.topic_prefix)
        pause_s = min(self.every_s, RETRY_S) if left else self.every_s
        return max(pause_s, 9 * (time.monotonic() - started))


def _report(
    network: str,
    started_at: datetime,
    look: Look,
    persisting: Sequence[DifferenceRow],
    passing: Sequence[DifferenceRow],
    *,
    settled: bool = True,
) -> Report:
    return Report(
        network=network,
        height=look.state.height,
        block_id=look.state.block_id,
        started_at=started_at,
        finished_at=datetime.now(UTC),
        settled=settled,
        figures=look.figures,
        figures_total=look.figures_total,
        differences=tuple(persisting),
        unsettled=tuple(passing),
        wallets=tuple(look.wallets),
    )


async def _keep(pool: Pool, topic_prefix: str, report: Report) -> None:
    """Keep the run; tell tenants of what the run before had not found yet."""
    new_run = NewRun(
        report.network,
        report.height,
        report.block_id,
        report.settled,
        report.figures,
        report.started_at,
    )
    async with transact_on(pool, topic_prefix) as work:
        known = await _known_differences(work.conn, report.network)
        await tables.add_run(work.conn, new_run, report.differences)
        fresh = [found for found in report.differences if identity(found) not in known]
        emit_events(work, [_event(report, found) for found in fresh if found.tenant])
    for found in report.differences:
        log.critical("reconciliation difference", network=report.network, **found._asdict())
    log.info(
        "reconciled",
        network=report.network,
        height=report.height,
        settled=report.settled,
        figures=report.figures,
        differences=len(report.differences),
    )


async def _known_differences(conn: Connection, network: str | None) -> set[tuple[object, ...]]:
    runs = await tables.last_runs(conn, settled_only=True)
    run_ids = [run.run_id for run in runs if run.network == network]
    found = await tables.run_differences(conn, run_ids)
    return {identity(difference) for differences in found.values() for difference in differences}


def _event(report: Report, found: DifferenceRow) -> events.Event:
    gap_minor = found.actual_minor - found.expected_minor
    key = (report.network, found.scope, found.asset, found.account, gap_minor)
    return events.ReconciliationDifference(
        id=events.make_event_id(report.finished_at, "reconciliation.difference", *key),
        tenant=found.tenant,
        occurred_at=report.finished_at,
        data=event_data.Difference(
            scope=found.scope,
            network=report.network,
            asset=found.asset,
            account=found.account,
            expected_minor=str(found.expected_minor),
            actual_minor=str(found.actual_minor),
            difference_minor=str(gap_minor),
        ),
    )
