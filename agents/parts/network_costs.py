"""What the network took from addresses of ours: from blocks to rows to facts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from agents.runtime.stage import Work
from sql import network_costs as costs_sql
from sql.addresses import OwnedAddress
from sql.deposits import DepositPolicy
from sql.network_costs import NetworkCost, NewCost
from topics.blocks import BlockAdded, TransactionRecord
from topics.ledger import LEDGER, NetworkCostFact, NetworkCostOrphaned, batch_facts

FactT = TypeVar("FactT", bound=NetworkCostFact)


def new_cost(
    block: BlockAdded,
    transaction: TransactionRecord,
    owned: Mapping[str, OwnedAddress],
    policy: DepositPolicy,
) -> NewCost | None:
    """Return what a transaction that is no withdrawal of ours cost one of our addresses.

    None if it cost nothing, or its payer is not ours, or the node does not tell, or the native
    asset is not listed and has no accounts. Pure.
    """
    mine = owned.get(transaction.payer or "")
    native = policy.assets.get(None)
    if mine is None or native is None or transaction.fee_minor in (None, "0"):
        return None
    return NewCost(
        transaction.id,
        mine.tenant,
        mine.purpose,
        mine.address,
        native.asset,
        str(transaction.fee_minor),
        block.height,
        block.block_id,
        block.height + policy.confirmations - 1,
    )


def cost_fact(kind: type[FactT], cost: NetworkCost) -> FactT:
    """Return the fact about a cost. Pure."""
    return kind(**cost._asdict())


async def disown_cost(work: Work, network: str, transaction_id: str) -> NetworkCost | None:
    """Take back a fee that was recorded by itself: a withdrawal books it from now on; return it."""
    known = await costs_sql.disown_cost(work.conn, network, transaction_id)
    if known is None:
        return None
    cost, booked = known
    if booked:
        for record in batch_facts([cost_fact(NetworkCostOrphaned, cost)]):
            work.emit(LEDGER, network, record)
    return cost
