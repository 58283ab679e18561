"""ledger → events: turns facts of a chain into journal entries, and tells their owners.

Order-proof: a confirmation is posted only while its deposit, cost or withdrawal still stands in
that revision, a reversal only if what it undoes was posted, and a second credit or settling only
behind the reversal of the first: else the money could be spent twice meanwhile. Repeats are dropped
by idempotency key.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Final, Literal, NamedTuple

import structlog
from prometheus_client import Counter

from agents.parts.deposit_events import deposit_fact, is_from_customer
from agents.parts.ledger_entries import (
    credits_before,
    entry_of,
    key_of,
    original_of,
    with_gas,
    with_undoings,
)
from agents.parts.ledger_events import events_of
from agents.runtime.context import Context
from agents.runtime.stage import LocalStage, Work
from custody.account_events import paid_debt_events
from ledger.entries import Entry, Outcome, PostResult
from ledger.post import post
from metrics import catalogue
from metrics.units import whole_units
from sql import facts as facts_sql
from sql import ledger as ledger_sql
from sql import stream
from sql.pool import Connection
from sql.stream import NOWHERE, DeadLetter
from topics.events import emit_events
from topics.ledger import (
    LEDGER,
    DepositConfirmed,
    DepositOrphaned,
    LedgerFact,
    LedgerRecord,
    NetworkCostConfirmed,
    WithdrawalConfirmed,
    WithdrawalFailed,
)

log = structlog.get_logger(__name__)

Item = tuple[LedgerFact, Entry]
_Volume = Literal["deposits", "withdrawals"]
_VOLUMES: Final[dict[_Volume, Counter]] = {
    "deposits": catalogue.deposit_volume_total,
    "withdrawals": catalogue.withdrawal_volume_total,
}


class Standing(NamedTuple):
    """What is confirmed, or failed, now: by id, revision and, of withdrawals, status."""

    deposits: set[tuple[int, int]]
    costs: set[tuple[int, int]]
    withdrawals: set[tuple[int, int, str]]

    def has(self, fact: LedgerFact) -> bool:
        """Whether what a confirmation or failure says still stands; False of all other facts."""
        if isinstance(fact, DepositConfirmed):
            return (fact.deposit_id, fact.revision) in self.deposits
        if isinstance(fact, NetworkCostConfirmed):
            return (fact.cost_id, fact.revision) in self.costs
        if isinstance(fact, WithdrawalConfirmed | WithdrawalFailed):
            return (fact.withdrawal_id, fact.revision, _status(fact)) in self.withdrawals
        return False


class PostLedger(LocalStage[LedgerRecord]):
    """Posts all facts of a batch at once, with a result for each."""

    name = "post_ledger"
    topic = LEDGER
    batch_max = 80

    def __init__(self, context: Context) -> None:
        self._decimals = {asset.asset: asset.decimals for asset in context.settings.assets}
        self._topic_name = context.settings.topic_prefix + self.topic.name

    async def apply(self, work: Work, records: Sequence[LedgerRecord], _: None) -> None:
        """Post what holds and is not posted yet."""
        facts = [f for record in records for fact in record.facts for f in with_undoings(fact)]
        items = await self._postable(work, facts)
        if not items:
            return
        started = time.monotonic()
        results = await post(work.conn, [entry for _, entry in items], work.count)
        catalogue.ledger_post_seconds.observe(time.monotonic() - started)
        await self._park_refused(work, items, results)
        now = datetime.now(UTC)
        emit_events(
            work,
            [
                event
                for (fact, entry), result in zip(items, results, strict=True)
                if result.outcome is Outcome.POSTED
                for event in events_of(fact, result, now) + paid_debt_events(entry, result, now)
            ],
        )
        self._count_volumes(work, items, results)

    def _count_volumes(
        self, work: Work, items: Sequence[Item], results: Sequence[PostResult]
    ) -> None:
        volumes: defaultdict[tuple[_Volume, str, str], int] = defaultdict(int)
        for (fact, _), result in zip(items, results, strict=True):
            volume = _volume_of(fact)
            if result.outcome is Outcome.POSTED and volume and fact.asset in self._decimals:
                volumes[volume, fact.network, fact.asset] += int(fact.amount_minor)
        for (volume, network, asset), amount_minor in volumes.items():
            amount = whole_units(amount_minor, self._decimals[asset])
            work.count(_VOLUMES[volume].labels(network, asset), amount)

    async def _postable(self, work: Work, facts: Sequence[LedgerFact]) -> list[Item]:
        """Return the entries of the facts that hold, in order."""
        facts = await with_next_credits(work.conn, facts)
        standing = await read_standing(work.conn, facts)
        undone = await self._find_undone(work, facts)
        return await self._without_early(
            work,
            [
                (fact, entry_of(fact, undone.get(id(fact))))
                for fact in facts
                if standing.has(fact) or id(fact) in undone
            ],
        )

    async def _without_early(self, work: Work, items: list[Item]) -> list[Item]:
        """Leave out credits whose deposit still has an earlier one: they come with its reversal."""
        wanted = {key for fact, _ in items for pair in credits_before(fact) for key in pair}
        if not wanted:
            return items
        keys = list(wanted)
        found = await ledger_sql.find_entries(work.conn, keys)
        posted = {keys[line.position - 1] for line in found}
        timely = []
        for fact, entry in items:
            early = any(c in posted and r not in posted for c, r in credits_before(fact))
            if early:
                log.info("credit waits for the reversal of the one before", fact=fact)
            else:
                timely.append((fact, entry))
                posted.add(key_of(entry))
        return timely

    async def _find_undone(self, work: Work, facts: Sequence[LedgerFact]) -> dict[int, Entry]:
        """Return by id() of facts the posted entries that they undo, with the gas these took."""
        originals = [(f, original) for f in facts for original in original_of(f)]
        posted = await self._posted(work, [original for _, original in originals])
        return {
            id(f): same_key(original, original_of(with_gas(f, posted[original.idempotency_key])))
            for f, original in originals
            if original.idempotency_key in posted
        }

    async def _posted(self, work: Work, entries: Iterable[Entry]) -> dict[str, int]:
        """Return by idempotency key what those entries that are posted took for the network."""
        keys = list({(entry.tenant, entry.idempotency_key) for entry in entries})
        found = await ledger_sql.find_entries(work.conn, keys)
        gas: dict[str, int] = defaultdict(int)
        for line in found:
            is_gas = line.debit_bucket == "network_fees"
            gas[keys[line.position - 1][1]] += line.amount_minor if is_gas else 0
        return gas

    async def _park_refused(
        self, work: Work, items: Sequence[Item], results: Sequence[PostResult]
    ) -> None:
        """What a chain has done must be in the ledger: park what cannot be, loudly."""
        refused = [
            (fact, result)
            for (fact, _), result in zip(items, results, strict=True)
            if result.outcome not in (Outcome.POSTED, Outcome.DUPLICATE)
        ]
        for fact, result in refused:
            log.critical("chain fact cannot be posted", fact=fact, result=result)
            work.count(catalogue.dead_letters_total.labels(self.name))
        await stream.park_records(
            work.conn,
            [
                DeadLetter(
                    self.name,
                    self._topic_name,
                    NOWHERE,
                    NOWHERE,
                    fact.network.encode(),
                    self.topic.encode(LedgerRecord([fact])),
                    f"{result.outcome}: {result.detail}",
                )
                for fact, result in refused
            ],
        )


async def with_next_credits(conn: Connection, facts: Sequence[LedgerFact]) -> list[LedgerFact]:
    """Return facts, and behind each orphaned deposit its credit if it is confirmed again already.

    That credit may have come before, and was left out then; else it is a repeat when it comes.
    """
    orphaned = [(f.deposit_id, f.revision) for f in facts if isinstance(f, DepositOrphaned)]
    if not orphaned:
        return list(facts)
    again = {
        deposit.deposit_id: deposit_fact(DepositConfirmed, deposit, deposit.confirm_height)
        for deposit in await facts_sql.confirmed_again(conn, orphaned)
    }
    with_next: list[LedgerFact] = []
    for fact in facts:
        with_next.append(fact)
        if isinstance(fact, DepositOrphaned) and fact.deposit_id in again:
            with_next.append(again[fact.deposit_id])
    return with_next


async def read_standing(conn: Connection, facts: Sequence[LedgerFact]) -> Standing:
    """Return what is at this moment as one of these facts says."""
    return Standing(
        await facts_sql.standing_deposits(
            conn, [(f.deposit_id, f.revision) for f in facts if isinstance(f, DepositConfirmed)]
        ),
        await facts_sql.standing_costs(
            conn, [(f.cost_id, f.revision) for f in facts if isinstance(f, NetworkCostConfirmed)]
        ),
        await facts_sql.standing_withdrawals(
            conn,
            [
                (f.withdrawal_id, f.revision, _status(f))
                for f in facts
                if isinstance(f, WithdrawalConfirmed | WithdrawalFailed)
            ],
        ),
    )


def same_key(entry: Entry, candidates: Iterable[Entry]) -> Entry:
    """Return the candidate with the entry's idempotency key. Pure."""
    return next(c for c in candidates if c.idempotency_key == entry.idempotency_key)


def _volume_of(fact: LedgerFact) -> _Volume | None:
    if isinstance(fact, DepositConfirmed) and is_from_customer(fact):
        return "deposits"
    return "withdrawals" if isinstance(fact, WithdrawalConfirmed) else None


def _status(fact: WithdrawalConfirmed | WithdrawalFailed) -> str:
    return "confirmed" if isinstance(fact, WithdrawalConfirmed) else "failed"
