"""Facts of a chain that move money in the ledger. post_ledger turns each into a journal entry."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import msgspec

from topics.topic import Topic, json_decoder


class Fact(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Base of every fact. On the topic an array: its tag, then its fields in order, without names.

    That takes half the bytes. A field that is added is added at the end.
    """


class DepositFact(Fact, frozen=True, tag_field="fact", kw_only=True):
    """A deposit, or money that came to a wallet of the tenant itself.

    The owner is empty for the latter, and for money on a pooled address that nobody was found for.
    """

    deposit_id: int
    revision: int
    """How often the transfer was mined before; part of the entry's idempotency key."""
    tenant: str
    owner: str
    purpose: str
    asset: str
    amount_minor: str
    network: str
    address: str
    sender: str | None
    contract: str | None
    memo: str | None
    transaction_id: str
    transfer_index: str
    height: int
    block_id: str
    confirm_height: int
    """The height at which it has its confirmations."""
    tip_height: int
    """The height on which the fact was decided."""


class DepositConfirmed(DepositFact, frozen=True, tag="deposit_confirmed"):
    """It is deep enough: credit it."""


class DepositOrphaned(DepositFact, frozen=True, tag="deposit_orphaned"):
    """It was confirmed and its block left the chain: take back what was credited."""


class NetworkCostFact(Fact, frozen=True, tag_field="fact", kw_only=True):
    """What the network took from an address of ours beside transfers and withdrawals."""

    cost_id: int
    revision: int
    """How often the transaction was mined before; part of the entry's idempotency key."""
    tenant: str
    purpose: str
    asset: str
    amount_minor: str
    """Negative if the network gave something back."""
    network: str
    address: str
    transaction_id: str
    height: int
    block_id: str


class NetworkCostConfirmed(NetworkCostFact, frozen=True, tag="network_cost_confirmed"):
    """It is deep enough: record the expense."""


class NetworkCostOrphaned(NetworkCostFact, frozen=True, tag="network_cost_orphaned"):
    """It was confirmed and its block left the chain: take the expense back."""


class WithdrawalFact(Fact, frozen=True, tag_field="fact", kw_only=True):
    """A withdrawal whose transaction the chain has decided on."""

    withdrawal_id: int
    revision: int
    """How often it was settled before; part of the entry's idempotency key."""
    tenant: str
    owner: str
    idempotency_key: str
    asset: str
    amount_minor: str
    fee_minor: str
    network: str
    address: str
    memo: str | None
    transaction_id: str
    height: int
    """The block it was mined in."""
    block_id: str
    tip_height: int
    """The height on which the fact was decided."""
    network_fee_asset: str
    network_fee_minor: str


class WithdrawalConfirmed(WithdrawalFact, frozen=True, tag="withdrawal_confirmed"):
    """Paid out, deep enough: settle it."""


class WithdrawalFailed(WithdrawalFact, frozen=True, tag="withdrawal_failed"):
    """Mined without effect: the network's fee is spent, the money goes back to its owner."""


class WithdrawalUnsettled(WithdrawalFact, frozen=True, tag="withdrawal_unsettled"):
    """Its block left the chain after it was settled, or it is in one after it was given up.

    Undo what was posted; it will be mined again, or was.
    """


LedgerFact: TypeAlias = (
    DepositConfirmed
    | DepositOrphaned
    | NetworkCostConfirmed
    | NetworkCostOrphaned
    | WithdrawalConfirmed
    | WithdrawalFailed
    | WithdrawalUnsettled
)


class LedgerRecord(msgspec.Struct, frozen=True):
    """Facts to be posted together, in this order."""

    facts: list[LedgerFact]


FACTS_MAX = 1250
"""Facts in one record: some 450 KB; longest names and memos fit into what our topics take, 16 MiB.

Records of one key go to Kafka one after the other, so many small ones would take longer.
"""


def batch_facts(facts: Sequence[LedgerFact]) -> list[LedgerRecord]:
    """Return records of facts, in order; none without facts."""
    return [
        LedgerRecord(list(facts[start : start + FACTS_MAX]))
        for start in range(0, len(facts), FACTS_MAX)
    ]


LEDGER: Topic[LedgerRecord] = Topic("ledger", "network", json_decoder(LedgerRecord))
