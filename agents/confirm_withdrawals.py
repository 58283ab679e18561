"""blocks → ledger: which of our transactions are in the chain, and deep enough.

State-based: records only name blocks to look at, and the blocks table says which are on the best
chain. Each batch takes back what left the chain, takes in what joined it, and settles what is
deep enough, so repeated and reordered records end in the same state.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

import asyncpg
import structlog

from agents.parts.finality import final_height_of
from agents.parts.landings import Landings, halt_wallets, sort_landings
from agents.parts.withdrawal_facts import (
    inclusion_of,
    mined_transaction,
    settled_fact,
    withdrawal_fact,
)
from agents.runtime.context import Context
from agents.runtime.stage import InvariantBroken, LocalStage, Work
from metrics import catalogue
from sql import chain as chain_sql
from sql import coins as coins_sql
from sql import transactions as transactions_sql
from sql import withdrawals as withdrawals_sql
from sql.transactions import Inclusion, MinedTransaction
from sql.withdrawals import WithdrawalPolicy
from topics.blocks import BLOCKS, BlockAdded, BlockRecord, TransactionRecord
from topics.ledger import (
    LEDGER,
    WithdrawalConfirmed,
    WithdrawalFailed,
    WithdrawalUnsettled,
    batch_facts,
)
from topics.withdrawals import WITHDRAWALS_APPROVED, WithdrawalsApproved

log = structlog.get_logger(__name__)

APPROVALS_WOKEN = 50
"""Approved withdrawals handed to the signer again when a wallet may send the next one."""
InBlocks = dict[str, tuple[BlockAdded, TransactionRecord]]
"""Transactions and the blocks they are in, by transaction id."""


class ConfirmWithdrawals(LocalStage[BlockRecord]):
    """Works network by network, set-based."""

    name = "confirm_withdrawals"
    topic = BLOCKS
    batch_max = 25

    def __init__(self, context: Context) -> None:
        self._context = context

    async def apply(self, work: Work, records: Sequence[BlockRecord], _: None) -> None:
        """Bring our transactions to what the best chain says."""
        policies = await withdrawals_sql.withdrawal_policies(work.conn)
        by_network: dict[str, list[BlockRecord]] = defaultdict(list)
        for record in records:
            by_network[record.network].append(record)
        for network, block_records in sorted(by_network.items()):
            await self._take_back(work, network, policies)
            await self._take_in(work, network, block_records, policies)
            await self._settle(work, network, policies)
            await mark_settled(work, network, block_records)

    async def _take_back(
        self, work: Work, network: str, policies: Mapping[str, WithdrawalPolicy]
    ) -> None:
        # As on any network: one that is configured no longer has none of its own.
        depth_max = max((n.reorg_depth_max for n in self._context.settings.networks), default=0)
        unmined = await transactions_sql.unmine_transactions(work.conn, network, depth_max)
        if not unmined:
            return
        await self._unsettle(work, network, unmined, policies)
        await transactions_sql.revive_attempts(work.conn, unmined)
        await coins_sql.keep_spare_coins(work.conn, unmined)

    async def _take_in(
        self,
        work: Work,
        network: str,
        records: Sequence[BlockRecord],
        policies: Mapping[str, WithdrawalPolicy],
    ) -> None:
        returned = {t.returns for r in added(records) for t in r.transactions if t.returns}
        if not returned and not await transactions_sql.has_open_transactions(work.conn, network):
            return
        canonical = await chain_sql.canonical_blocks(
            work.conn, network, [(record.height, record.block_id) for record in records]
        )
        await self._take_seen(work, network, transactions_in(records, canonical), policies)

    async def search_again(self, work: Work, network: str, records: Sequence[BlockAdded]) -> None:
        """Take in what was missed in blocks of which the caller knows that they stand."""
        policies = await withdrawals_sql.withdrawal_policies(work.conn)
        seen = transactions_in(records, {record.block_id for record in records})
        await self._take_seen(work, network, seen, policies)

    async def _take_seen(
        self, work: Work, network: str, seen: InBlocks, policies: Mapping[str, WithdrawalPolicy]
    ) -> None:
        landings = sort_landings(
            await transactions_sql.open_transactions(work.conn, network, list(seen))
        )
        await halt_wallets(work, network, landings)
        mined = {
            transaction_id: mined_transaction(*seen[transaction_id], policies[t.asset], t)
            for transaction_id, t in landings.first.items()
        }
        if mined:
            await self._reopen(work, network, landings, mined, policies)
            await transactions_sql.supersede_rivals(work.conn, network, list(mined))
            await self._mine(work, network, list(mined.values()))
            await self._make_room(work, network)
        if any(transaction.returns for _, transaction in seen.values()):
            await self._take_returns(work, network, seen, policies)

    async def _reopen(
        self,
        work: Work,
        network: str,
        landings: Landings,
        mined: Mapping[str, MinedTransaction],
        policies: Mapping[str, WithdrawalPolicy],
    ) -> None:
        """Open withdrawals again that were given up, and take back the money they gave back."""
        if not landings.reopened:
            return
        log.critical("given up, and in a block all the same", transactions=list(landings.reopened))
        inclusions = {
            transaction.withdrawal_id: inclusion_of(mined[transaction_id])
            for transaction_id, transaction in landings.reopened.items()
        }
        await self._unsettle(work, network, inclusions, policies)
        await coins_sql.keep_spare_coins(work.conn, inclusions)

    async def _make_room(self, work: Work, network: str) -> None:
        """Wake the signer where payments have to wait for those before them."""
        if self._context.adapters[network].in_flight_max is None:
            return
        ids = await withdrawals_sql.stale_approvals(work.conn, network, 0, 0, APPROVALS_WOKEN)
        if ids:
            work.emit(WITHDRAWALS_APPROVED, network, WithdrawalsApproved(network, ids))

    async def _take_returns(
        self, work: Work, network: str, seen: InBlocks, policies: Mapping[str, WithdrawalPolicy]
    ) -> None:
        """Fail payments whose money came back; those that were confirmed are opened again."""
        ids = [transaction.returns for _, transaction in seen.values() if transaction.returns]
        returned = await transactions_sql.return_transactions(work.conn, network, ids)
        await self._unsettle(work, network, returned, policies)

    async def _unsettle(
        self,
        work: Work,
        network: str,
        inclusions: Mapping[int, Inclusion],
        policies: Mapping[str, WithdrawalPolicy],
    ) -> None:
        """Open settled withdrawals again, and tell the ledger to take their entries back."""
        unsettled = await transactions_sql.unsettle_withdrawals(work.conn, inclusions)
        facts = [
            # The fact is about the settling that is undone: the revision before this one.
            withdrawal_fact(
                WithdrawalUnsettled,
                withdrawal._replace(revision=withdrawal.revision - 1),
                inclusions[withdrawal.withdrawal_id],
                policies,
                tip_height=inclusions[withdrawal.withdrawal_id].height,
            )
            for withdrawal in unsettled
        ]
        emit_facts(work, network, facts)

    async def _mine(self, work: Work, network: str, mined: Sequence[MinedTransaction]) -> None:
        try:
            await transactions_sql.mine_transactions(work.conn, network, mined)
        except asyncpg.UniqueViolationError:
            ids = [transaction.transaction_id for transaction in mined]
            raise InvariantBroken(
                f"two transactions of one withdrawal are in the chain: one of {ids}"
            ) from None

    async def _settle(
        self, work: Work, network: str, policies: Mapping[str, WithdrawalPolicy]
    ) -> None:
        cursor = await chain_sql.read_cursor(work.conn, network)
        if cursor is None:
            return
        final_height = final_height_of(cursor, self._finality(network, policies))
        settled = await transactions_sql.settle_withdrawals(
            work.conn, network, cursor.height, final_height
        )
        if not settled:
            return
        settled_ids = [withdrawal.withdrawal_id for withdrawal, _ in settled]
        await transactions_sql.supersede_attempts(work.conn, settled_ids)
        await coins_sql.spare_coins(work.conn, settled_ids)
        facts = [
            settled_fact(withdrawal, inclusion, policies, cursor.height)
            for withdrawal, inclusion in settled
        ]
        emit_facts(work, network, facts)
        for withdrawal, _ in settled:
            work.count(
                catalogue.withdrawals_total.labels(network, withdrawal.asset, withdrawal.status)
            )

    def _finality(self, network: str, policies: Mapping[str, WithdrawalPolicy]) -> str:
        return next(
            (policy.finality for policy in policies.values() if policy.network == network), "depth"
        )


def added(records: Iterable[BlockRecord]) -> list[BlockAdded]:
    """Return the records of added blocks. Pure."""
    return [record for record in records if isinstance(record, BlockAdded)]


def transactions_in(records: Iterable[BlockRecord], canonical: set[str]) -> InBlocks:
    """Return the transactions of those added blocks that are on the best chain. Pure."""
    return {
        transaction.id: (record, transaction)
        for record in added(records)
        if record.block_id in canonical
        for transaction in record.transactions
    }


async def mark_settled(work: Work, network: str, records: Sequence[BlockRecord]) -> None:
    """Remember how far the chain was searched for our transactions."""
    newest = max(added(records), key=lambda record: record.height, default=None)
    if newest is not None:
        await chain_sql.mark_settled(work.conn, network, newest.height, newest.block_id)


def emit_facts(
    work: Work,
    network: str,
    facts: Sequence[WithdrawalConfirmed | WithdrawalFailed | WithdrawalUnsettled],
) -> None:
    """Hand facts to the ledger."""
    for record in batch_facts(facts):
        work.emit(LEDGER, network, record)
