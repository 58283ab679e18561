"""Finding deposits and network costs of ours in blocks, writing and telling them.

What match_deposits and a rescan share; what they do not is how a block is known to stand.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from agents.parts.deposit_events import (
    deposit_fact,
    detected_event,
    is_from_customer,
    orphaned_event,
)
from agents.parts.finality import final_height_of
from agents.parts.halting import foreign_transactions
from agents.parts.judge_transfer import Known, lists_all, new_deposit
from agents.parts.network_costs import cost_fact, new_cost
from agents.parts.seen_transfers import Seen, memos_of, probe, questionable, transfers_in
from agents.parts.watched_addresses import WatchedAddresses
from agents.runtime.stage import InvariantBroken, Work
from metrics import catalogue
from sql import addresses as addresses_sql
from sql import deposits as deposits_sql
from sql import network_costs as costs_sql
from sql import wallets as wallets_sql
from sql.addresses import OwnedAddress
from sql.chain import Cursor
from sql.deposits import Deposit, DepositPolicy, NewDeposit, Survey
from sql.network_costs import NetworkCost, NewCost
from sql.pool import Connection
from sql.wallets import ForeignTransaction
from topics.blocks import BlockAdded, BlockRecord
from topics.deposits import DEPOSITS, BlockMatched
from topics.events import emit_events
from topics.ledger import (
    LEDGER,
    DepositConfirmed,
    DepositOrphaned,
    NetworkCostOrphaned,
    batch_facts,
)

ADDRESS_PAGE_ROWS = 50_000


class Found(NamedTuple):
    """What blocks hold for us."""

    deposits: list[NewDeposit]
    costs: list[NewCost]
    foreign: list[ForeignTransaction]

    def transaction_ids(self) -> list[str]:
        """Return the transactions that all this is of."""
        return [*(d.transaction_id for d in self.deposits), *(c.transaction_id for c in self.costs)]


class Changes(NamedTuple):
    """What became different in the tables."""

    detected: list[Deposit]
    orphaned: list[Deposit]
    """As they were before."""
    costs_orphaned: list[NetworkCost]
    """Those that were confirmed."""
    confirmed: list[DepositConfirmed]
    """What is to be credited of those detected."""

    @classmethod
    def none(cls) -> Changes:
        """Return no changes, to be filled."""
        return cls([], [], [], [])


class Matcher:
    """Knows our addresses and each network's rules, and keeps up with both as it is asked."""

    def __init__(self) -> None:
        self._watched: dict[str, WatchedAddresses] = defaultdict(WatchedAddresses)
        self._serials: dict[str, int] = defaultdict(int)
        self._policies: dict[str, DepositPolicy] = {}

    async def load(self, conn: Connection) -> None:
        """Load the addresses that are watched so far."""
        self._policies = await deposits_sql.deposit_policies(conn)
        for network in self._policies:
            await self._load_addresses(network, conn)

    async def survey(
        self, work: Work, network: str, records: Sequence[BlockRecord]
    ) -> tuple[Survey, Seen]:
        """Ask where blocks stand and whose the addresses in them are, the newest ones too."""
        blocks = [record for record in records if isinstance(record, BlockAdded)]
        seen = probe(self._watched[network], blocks)
        survey = await deposits_sql.survey_network(
            work.conn,
            network,
            [(record.height, record.block_id) for record in records],
            seen.addresses(),
            after_serial=self._serials[network],
            limit_rows=ADDRESS_PAGE_ROWS,
        )
        if survey.addresses:
            if self._watch(network, survey.addresses):
                await self._load_addresses(network, work.conn)
            seen, owned = await self._ask_owners(work, network, blocks)
            survey = survey._replace(owned=owned)
        return survey, seen

    async def look(
        self, work: Work, network: str, blocks: Sequence[BlockAdded]
    ) -> tuple[Seen, dict[str, OwnedAddress]]:
        """Return what may be ours in blocks, and whose the addresses are, the newest ones too."""
        await self._load_addresses(network, work.conn)
        return await self._ask_owners(work, network, blocks)

    async def _ask_owners(
        self, work: Work, network: str, blocks: Sequence[BlockAdded]
    ) -> tuple[Seen, dict[str, OwnedAddress]]:
        seen = probe(self._watched[network], blocks)
        return seen, await addresses_sql.owned_addresses(work.conn, network, seen.addresses())

    async def orphan(
        self, work: Work, network: str, blocks: Collection[tuple[int, str]], changes: Changes
    ) -> None:
        """Take back what was found in blocks (height, block id) that left the chain."""
        if blocks:
            ordered = sorted(blocks)
            orphaned = await deposits_sql.orphan_deposits(work.conn, network, ordered)
            changes.orphaned.extend(orphaned)
            costs = await costs_sql.orphan_costs(work.conn, network, ordered)
            changes.costs_orphaned.extend(costs)

    async def detect(
        self, work: Work, network: str, found: Found, changes: Changes, *, cursor: Cursor | None
    ) -> Found:
        """Write what was found; return what is not written, because it is there already."""
        deposits: list[Deposit] = []
        costs: set[str] = set()
        if found.deposits:
            if cursor is None:
                raise InvariantBroken(f"{network} has blocks and no cursor")
            deposits = await self._write(work, network, found.deposits, changes, cursor=cursor)
        if found.costs:
            costs = await costs_sql.detect_costs(work.conn, network, found.costs)
        if found.foreign:
            await wallets_sql.note_foreign(work.conn, network, found.foreign)
        return Found(
            not_among(found.deposits, deposits),
            [cost for cost in found.costs if cost.transaction_id not in costs],
            [],
        )

    async def _write(
        self,
        work: Work,
        network: str,
        deposits: Sequence[NewDeposit],
        changes: Changes,
        *,
        cursor: Cursor,
    ) -> list[Deposit]:
        detected = await deposits_sql.detect_deposits(
            work.conn,
            network,
            deposits,
            tip_height=cursor.height,
            final_height=final_height_of(cursor, self._policies[network].finality),
        )
        changes.detected.extend(detected)
        changes.confirmed.extend(
            deposit_fact(DepositConfirmed, deposit, cursor.height)
            for deposit in detected
            if deposit.status == "confirmed"
        )
        return detected

    async def find(
        self, work: Work, network: str, seen: Seen, owned: Mapping[str, OwnedAddress]
    ) -> Found:
        """Judge what was seen; `owned` are those of its addresses that are ours."""
        hits, paid = seen
        if not owned:
            return Found([], [], [])
        known = await self._look_up(work, network, seen, owned)
        if not lists_all(self._policies.get(network), hits, owned):  # some may be new
            self._policies = await deposits_sql.deposit_policies(work.conn)
        policy = self._policies[network]
        deposits = [
            new_deposit(hit, known, policy) for hit in hits if hit.transfer.address in known.owned
        ]
        costs = [
            new_cost(block, transaction, known.owned, policy)
            for block, transaction in paid
            if transaction.id not in known.own_transactions
        ]
        return Found(
            list({(d.transaction_id, d.transfer_index): d for d in deposits}.values()),
            list({cost.transaction_id: cost for cost in costs if cost is not None}.values()),
            foreign_transactions(paid, known),
        )

    async def _look_up(
        self, work: Work, network: str, seen: Seen, owned: Mapping[str, OwnedAddress]
    ) -> Known:
        """Ask what else has to be known, in one query for each kind, and none in vain."""
        ids = questionable(*seen, owned)
        memos = memos_of(seen.hits, owned)
        return Known(
            owned,
            await addresses_sql.memo_owners(work.conn, network, memos) if memos else {},
            await deposits_sql.own_transactions(work.conn, network, ids) if ids else set(),
        )

    async def _load_addresses(self, network: str, conn: Connection) -> None:
        while self._watch(
            network,
            await addresses_sql.new_addresses(
                conn, network, self._serials[network], ADDRESS_PAGE_ROWS
            ),
        ):
            pass

    def _watch(self, network: str, page: Sequence[tuple[int, str]]) -> bool:
        """Watch a page of addresses more; tell whether there may be others behind it."""
        if page:
            self._watched[network].add([address for _, address in page])
            self._serials[network] = page[-1][0]
            catalogue.watched_addresses.labels(network).set(len(self._watched[network]))
        return len(page) == ADDRESS_PAGE_ROWS

    async def tell(
        self,
        work: Work,
        network: str,
        records: Sequence[BlockRecord],
        changes: Changes,
        *,
        due: bool,
    ) -> None:
        """Tell what became different; and confirm_deposits, if anything may be `due`."""
        detected, orphaned = changes.detected, changes.orphaned
        height = max(record.height for record in records)
        reverse = [
            deposit_fact(DepositOrphaned, deposit, height)
            for deposit in orphaned
            if deposit.status == "confirmed"
        ]
        refund = [cost_fact(NetworkCostOrphaned, cost) for cost in changes.costs_orphaned]
        for record in batch_facts([*reverse, *refund, *changes.confirmed]):
            work.emit(LEDGER, network, record)
        now = datetime.now(UTC)
        emit_events(
            work,
            [
                orphaned_event(d, now)
                for d in orphaned
                if is_from_customer(d) and d.status != "ignored"
            ]
            + [detected_event(d, now) for d in detected if is_from_customer(d)],
        )
        _count(work, orphaned, "orphaned")
        _count(work, detected, None)
        work.count(catalogue.transfers_total.labels(network), transfers_in(records))
        if due:
            work.emit(DEPOSITS, network, BlockMatched(network, height))


def not_among(found: Sequence[NewDeposit], detected: Sequence[Deposit]) -> list[NewDeposit]:
    """Return those found that were not written, because they are there already. Pure."""
    if len(found) == len(detected):
        return []
    written = {(deposit.transaction_id, deposit.transfer_index) for deposit in detected}
    return [d for d in found if (d.transaction_id, d.transfer_index) not in written]


def _count(work: Work, deposits: Sequence[Deposit], status: str | None) -> None:
    counts = Counter((d.network, d.asset or "unknown", status or d.status) for d in deposits)
    for (network, asset, now), count in counts.items():
        work.count(catalogue.deposits_total.labels(network, asset, now), count)
        if now == "confirmed":
            work.count(catalogue.deposits_total.labels(network, asset, "detected"), count)
