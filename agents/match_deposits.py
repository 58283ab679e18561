"""blocks → deposits: which transfers of a block came to addresses of ours.

State-based: a record only says which block to look at; whether that block is on the best chain is
asked of the blocks table. Repeated, late and reordered records therefore end in the same deposits.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from datetime import UTC, datetime

from agents.parts.deposit_events import deposit_fact, detected_event, orphaned_event
from agents.parts.watched_addresses import WatchedAddresses
from agents.runtime.context import Context
from agents.runtime.stage import LocalStage, Work
from metrics import catalogue
from sql import chain as chain_sql
from sql import deposits as deposits_sql
from sql.deposits import Deposit, DepositPolicy, NewDeposit, OwnedAddress
from topics.blocks import BLOCKS, BlockAdded, BlockRecord, TransactionRecord, TransferRecord
from topics.deposits import DEPOSITS, BlockMatched
from topics.events import emit_events
from topics.ledger import LEDGER, DepositOrphaned, batch_facts

ADDRESS_PAGE_ROWS = 50_000

Found = tuple[BlockAdded, TransactionRecord, TransferRecord]


class MatchDeposits(LocalStage[BlockRecord]):
    """Writes deposits of added blocks, orphans those of removed ones."""

    name = "match_deposits"
    topic = BLOCKS
    batch_max = 15

    def __init__(self, context: Context) -> None:
        self._context = context
        self._watched: dict[str, WatchedAddresses] = defaultdict(WatchedAddresses)
        self._serials: dict[str, int] = defaultdict(int)
        self._policies: dict[str, DepositPolicy] = {}

    async def start(self) -> None:
        """Load the addresses that are watched so far."""
        async with self._context.pool.acquire() as conn:
            self._policies = await deposits_sql.deposit_policies(conn)
        for network in self._policies:
            await self._load_addresses(network)

    async def apply(self, work: Work, records: Sequence[BlockRecord], _: None) -> None:
        """Bring the deposits of all blocks named in `records` to what the best chain says."""
        by_network: dict[str, list[BlockRecord]] = defaultdict(list)
        for record in records:
            by_network[record.network].append(record)
        for network, block_records in by_network.items():
            await self._match_network(work, network, block_records)

    async def _match_network(
        self, work: Work, network: str, records: Sequence[BlockRecord]
    ) -> None:
        standing = await chain_sql.block_standing(
            work.conn, network, [(record.height, record.block_id) for record in records]
        )
        added = [
            record
            for record in records
            if isinstance(record, BlockAdded) and standing.get((record.height, record.block_id))
        ]
        gone = {block for block, canonical in standing.items() if not canonical}
        found = await self._find_deposits(work, network, added)
        orphaned = await self._orphan(work, network, gone)
        detected = await self._detect(work, network, found)
        if known := not_among(found, detected):
            # Repeats, or deposits whose old block's removal we have not been told of yet.
            stale = await deposits_sql.stale_blocks(
                work.conn, network, [deposit.transaction_id for deposit in known]
            )
            if stale:
                orphaned += await self._orphan(work, network, stale)
                detected += await self._detect(work, network, known)
        await self._tell(work, network, records, orphaned, detected)

    async def _orphan(
        self, work: Work, network: str, blocks: Collection[tuple[int, str]]
    ) -> list[Deposit]:
        if not blocks:
            return []
        return await deposits_sql.orphan_deposits(work.conn, network, sorted(blocks))

    async def _detect(
        self, work: Work, network: str, deposits: Sequence[NewDeposit]
    ) -> list[Deposit]:
        if not deposits:
            return []
        return await deposits_sql.detect_deposits(work.conn, network, deposits)

    async def _find_deposits(
        self, work: Work, network: str, blocks: Sequence[BlockAdded]
    ) -> list[NewDeposit]:
        candidates = [
            (block, transaction, transfer)
            for block in blocks
            for transaction in block.transactions
            for transfer in transaction.transfers
        ]
        if not candidates:
            return []
        catalogue.transfers_total.labels(network).inc(len(candidates))
        await self._load_addresses(network, work)
        watched = self._watched[network].maybe([found[2].address for found in candidates])
        hits = [candidates[position] for position in watched.nonzero()[0]]
        if not hits:
            return []
        addresses = {hit[2].address for hit in hits} | {
            hit[2].sender for hit in hits if hit[2].sender is not None
        }
        owned = await deposits_sql.owned_addresses(work.conn, network, sorted(addresses))
        policy = self._policies[network]
        deposits = [new_deposit(hit, owned, policy) for hit in hits if hit[2].address in owned]
        return list({(d.transaction_id, d.transfer_index): d for d in deposits}.values())

    async def _load_addresses(self, network: str, work: Work | None = None) -> None:
        if work is None:
            async with self._context.pool.acquire() as conn:
                await self._load_addresses(network, Work(conn))
            return
        watched = self._watched[network]
        while page := await deposits_sql.new_addresses(
            work.conn, network, self._serials[network], ADDRESS_PAGE_ROWS
        ):
            watched.add([address for _, address in page])
            self._serials[network] = page[-1][0]
            if len(page) < ADDRESS_PAGE_ROWS:
                break
        catalogue.watched_addresses.labels(network).set(len(watched))

    async def _tell(
        self,
        work: Work,
        network: str,
        records: Sequence[BlockRecord],
        orphaned: Sequence[Deposit],
        detected: Sequence[Deposit],
    ) -> None:
        height = max(record.height for record in records)
        await chain_sql.mark_matched(work.conn, network, height)
        reverse = [
            deposit_fact(DepositOrphaned, deposit, height)
            for deposit in orphaned
            if deposit.status == "confirmed"
        ]
        for record in batch_facts(reverse):
            work.emit(LEDGER, network, record)
        now = datetime.now(UTC)
        emit_events(
            work,
            [orphaned_event(d, now) for d in orphaned if d.owner and d.status != "ignored"]
            + [detected_event(d, now) for d in detected if d.owner],
        )
        _count(orphaned, "orphaned")
        _count(detected, None)
        work.emit(
            DEPOSITS,
            network,
            BlockMatched(
                network,
                height,
                [deposit.deposit_id for deposit in detected],
                [deposit.deposit_id for deposit in orphaned],
            ),
        )


def new_deposit(found: Found, owned: dict[str, OwnedAddress], policy: DepositPolicy) -> NewDeposit:
    """Judge one transfer to an address of ours by the rules of its asset. Pure."""
    block, transaction, transfer = found
    mine = owned[transfer.address]
    asset = policy.assets.get(transfer.contract)
    amount_minor = int(transfer.amount_minor)
    ignored = None
    confirmations = policy.confirmations
    if asset is None:
        ignored = "unknown_token"
    elif transfer.sender in owned:
        ignored = "own_transfer"
    elif mine.owner and amount_minor < asset.minor_min:
        ignored = "below_minimum"
    if asset is not None:
        confirmations = next(
            n for from_minor, n in asset.confirmations if amount_minor >= from_minor
        )
    return NewDeposit(
        transaction.id,
        transfer.index,
        mine.tenant,
        mine.owner,
        mine.purpose,
        mine.address,
        transfer.sender,
        transfer.contract,
        None if asset is None else asset.asset,
        transfer.amount_minor,
        transfer.memo,
        block.height,
        block.block_id,
        ignored,
        block.height + confirmations - 1,
    )


def not_among(found: Sequence[NewDeposit], detected: Sequence[Deposit]) -> list[NewDeposit]:
    """Return those found that were not written, because they are there already. Pure."""
    if len(found) == len(detected):
        return []
    written = {(deposit.transaction_id, deposit.transfer_index) for deposit in detected}
    return [d for d in found if (d.transaction_id, d.transfer_index) not in written]


def _count(deposits: Sequence[Deposit], status: str | None) -> None:
    for deposit in deposits:
        catalogue.deposits_total.labels(
            deposit.network, deposit.asset or "unknown", status or deposit.status
        ).inc()
