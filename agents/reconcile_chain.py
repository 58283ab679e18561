"""Compares the chain, the ledger and the balances, by the clock and on demand.

Three comparisons, each exact: what nodes find on our addresses with what we recorded from blocks;
those records with the wallet accounts of the ledger; balances with their postings and debits with
credits. docs/reconciliation.md explains them. Nothing is ever corrected here.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal, TypedDict

import structlog

from agents.parts.reconcile_figures import (
    Persistence,
    Report,
    WalletTotal,
    compare_addresses,
    compare_books,
    compare_wallets,
    identity,
    total_wallets,
)
from agents.runtime.context import Context
from agents.runtime.loop import Loop
from agents.runtime.transact import transact_on
from chain_adapters.adapter import ChainReader
from chain_adapters.types import Holding, NodeUnavailable
from sql import chain as chain_sql
from sql import history
from sql import ledger as ledger_sql
from sql import reconciliation as tables
from sql.pool import Connection, Pool
from sql.reconciliation import AddressFigure, ChainState, DifferenceRow, NewRun
from topics import event_data, events
from topics.events import emit_events

log = structlog.get_logger(__name__)


class _SnapshotOptions(TypedDict):
    isolation: Literal["repeatable_read"]
    readonly: bool


Progress = Callable[[int, int], None]
"""Called with balances read and balances to read."""

BALANCES_A_CALL = 200
CALLS_AT_ONCE = 4
OVERDUE_S = 900
"""What was decided so long ago should be in the journal, whatever the stages went through."""
OVERDUE_BLOCKS = 256
"""The same for orphaned deposits, which bear no time: blocks on top of where they were."""
STRETCH_ADDRESSES = 2_000
"""Of all addresses, used or not, so many are looked at in each run, from a random one on."""
ADDRESSES_MAX = 20_000
"""Balances asked of a node in one run by the clock: some 20 s at 1,000 answers a second."""
WORK_MEMORY = "64MB"
"""For each of a statement's sorts and hash tables, some ten of them."""
RETRY_S = 30.0
"""When a network could not be reconciled, the next run comes so soon."""
_SNAPSHOT: _SnapshotOptions = {"isolation": "repeatable_read", "readonly": True}


class NotFollowed(LookupError):
    """A network has no block that was both followed and matched, so there is nothing to compare."""


@dataclass(frozen=True)
class Patience:
    """How a difference is told from something under way."""

    looks_needed: int = 3
    """A difference counts once it was there in so many looks in a row."""
    looks_max: int = 10
    pause_s: float = 3.0
    """Between two looks."""


@dataclass(frozen=True)
class Look:
    """What one look at a network showed."""

    state: ChainState
    canonical: bool
    """The compared block was still on the best chain, ours and the node's, after all was read."""
    caught_up: bool
    """We are as far as the node was at the look before. A node that keeps no old states answers for
    its latest block, so that a gap which was there then may be what had not been matched yet."""
    figures: int
    figures_total: int
    differences: list[DifferenceRow]
    wallets: list[WalletTotal]


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
    observer = _Observer(pool, reader, addresses_max, progress)
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
    """Compare balances and running balances with postings, and debits with credits.

    The result is kept and told.

    One snapshot of the database is consistent in itself, so there is nothing to wait for. Reads
    the whole journal.
    """
    started_at = datetime.now(UTC)
    async with pool.acquire() as conn, conn.transaction(**_SNAPSHOT):
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

    async def run_once(self) -> None:
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
        every_s = min(settings.reconcile_every_s, RETRY_S) if left else settings.reconcile_every_s
        self.every_s = max(every_s, 9 * (time.monotonic() - started))


class _Observer:
    """Looks at one network again and again; after the first time only at what differed."""

    def __init__(
        self, pool: Pool, reader: ChainReader, addresses_max: int | None, progress: Progress
    ) -> None:
        self._pool = pool
        self._reader = reader
        self._addresses_max = addresses_max
        self._progress = progress
        self._first_serial: int | None = None
        self._only: list[str] | None = None
        self._figures = (0, 0)
        self._tip_height: int | None = None
        """The node's, after the last look."""

    async def look(self) -> Look:
        """Compare once, at the highest block that is followed and matched now."""
        network = self._reader.network
        async with self._pool.acquire() as conn, conn.transaction(**_SNAPSHOT):
            await tables.allow_memory(conn, WORK_MEMORY)
            state = await tables.chain_state(conn, network)
            if state is None:
                raise NotFollowed(f"{network} has not been followed and matched yet")
            addresses, total = await self._expect(conn, state)
            now = await history.tell_time(conn)
            movements = await tables.wallet_figures(
                conn,
                network,
                state.height,
                overdue_before=now - timedelta(seconds=OVERDUE_S),
                overdue_below_height=state.height - OVERDUE_BLOCKS,
            )
            wallet_balances = await tables.wallet_balances(conn, network)
        balances = await _read_balances(self._reader, addresses, state.height, self._progress)
        caught_up = self._tip_height is None or state.height >= self._tip_height
        self._tip_height = await _tip_height(self._reader)
        canonical = await self._is_canonical(state)
        wallets = total_wallets(movements, wallet_balances)
        strays = compare_addresses(addresses, balances)
        if canonical:
            self._figures = self._figures if self._only is not None else (len(addresses), total)
            self._only = sorted({stray.account for stray in strays})
        differences = strays + compare_wallets(wallets, movements)
        counted, countable = (count + len(wallets) for count in self._figures)
        return Look(
            state,
            canonical,
            caught_up,
            counted,
            countable,
            differences if canonical else [],
            wallets,
        )

    async def _expect(self, conn: Connection, state: ChainState) -> tuple[list[AddressFigure], int]:
        if self._first_serial is None:
            last_start = max(1, state.last_serial - STRETCH_ADDRESSES + 1)
            self._first_serial = random.randint(1, last_start)
        return await tables.address_figures(
            conn,
            self._reader.network,
            state.height,
            first_serial=self._first_serial,
            stretch=STRETCH_ADDRESSES,
            limit_rows=self._addresses_max,
            only=self._only,
        )

    async def _is_canonical(self, state: ChainState) -> bool:
        block = await self._reader.fetch_block(state.height)
        if block is None or block.block_id != state.block_id:
            return False
        async with self._pool.acquire() as conn:
            block_key = (state.height, state.block_id)
            return bool(await chain_sql.canonical_blocks(conn, self._reader.network, [block_key]))


async def _tip_height(reader: ChainReader) -> int:
    async with aclosing(reader.watch_tip()) as tips:
        return (await anext(tips)).height


async def _read_balances(
    reader: ChainReader, figures: Sequence[AddressFigure], height: int, progress: Progress
) -> list[int]:
    holdings = [Holding(figure.address, figure.contract) for figure in figures]
    starts = range(0, len(holdings), BALANCES_A_CALL)
    answers: dict[int, list[int]] = {}
    todo = iter(starts)

    async def read() -> None:
        for start in todo:
            part = holdings[start : start + BALANCES_A_CALL]
            answers[start] = await reader.fetch_balances(part, height)
            progress(sum(map(len, answers.values())), len(holdings))

    tasks = [asyncio.ensure_future(read()) for _ in range(CALLS_AT_ONCE)]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return [balance_minor for start in starts for balance_minor in answers[start]]


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
