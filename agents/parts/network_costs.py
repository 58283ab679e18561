"""What the network took from addresses of ours: pure functions from blocks to rows to facts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from sql.addresses import OwnedAddress
from sql.deposits import DepositPolicy
from sql.network_costs import NetworkCost, NewCost
from topics.blocks import BlockAdded, TransactionRecord
from topics.ledger import NetworkCostFact

FactT = TypeVar("FactT", bound=NetworkCostFact)


def new_cost(
    block: BlockAdded,
    transaction: TransactionRecord,
    owned: Mapping[str, OwnedAddress],
    policy: DepositPolicy,
) -> NewCost | None:
    """Return what a transaction that is no withdrawal of ours cost one of our addresses.

    None if it cost nothing, or its payer is not ours, or the node does not tell, or the native
    asset is not listed and has no accounts.
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
    """Return the fact about a cost."""
    return kind(**cost._asdict())
