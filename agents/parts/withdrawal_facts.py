"""What blocks say of withdrawals: pure functions from transactions in blocks to rows and facts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from agents.runtime.stage import InvariantBroken
from sql.transactions import Inclusion, MinedTransaction, OpenTransaction
from sql.withdrawals import Withdrawal, WithdrawalPolicy
from topics.blocks import BlockAdded, TransactionRecord
from topics.ledger import (
    WithdrawalConfirmed,
    WithdrawalFact,
    WithdrawalFailed,
)

FactT = TypeVar("FactT", bound=WithdrawalFact)


def mined_transaction(
    block: BlockAdded,
    transaction: TransactionRecord,
    policy: WithdrawalPolicy,
    ours: OpenTransaction,
) -> MinedTransaction:
    """Return what is to be remembered of a transaction in a block."""
    return MinedTransaction(
        transaction_id=transaction.id,
        height=block.height,
        block_id=block.block_id,
        succeeded=transaction.succeeded,
        fee_minor=None if transaction.fee_minor is None else int(transaction.fee_minor),
        confirm_height=block.height + policy.confirmations_of(ours.amount_minor) - 1,
    )


def inclusion_of(mined: MinedTransaction) -> Inclusion:
    """Return where a transaction is."""
    return Inclusion(mined.transaction_id, mined.height, mined.block_id, mined.fee_minor or 0)


def withdrawal_fact(
    kind: type[FactT],
    withdrawal: Withdrawal,
    inclusion: Inclusion,
    policies: Mapping[str, WithdrawalPolicy],
    *,
    tip_height: int,
) -> FactT:
    """Return the fact about a withdrawal and the transaction that decided on it."""
    if withdrawal.network is None:
        raise InvariantBroken(f"withdrawal {withdrawal.withdrawal_id} is mined without a network")
    return kind(
        withdrawal_id=withdrawal.withdrawal_id,
        revision=withdrawal.revision,
        tenant=withdrawal.tenant,
        owner=withdrawal.owner,
        idempotency_key=withdrawal.idempotency_key,
        asset=withdrawal.asset,
        amount_minor=str(withdrawal.amount_minor),
        fee_minor=str(withdrawal.fee_minor),
        network=withdrawal.network,
        address=withdrawal.address,
        memo=withdrawal.memo,
        transaction_id=inclusion.transaction_id,
        height=inclusion.height,
        block_id=inclusion.block_id,
        tip_height=tip_height,
        network_fee_asset=policies[withdrawal.asset].native_asset,
        network_fee_minor=str(inclusion.network_fee_minor),
    )


def settled_fact(
    withdrawal: Withdrawal,
    inclusion: Inclusion,
    policies: Mapping[str, WithdrawalPolicy],
    tip_height: int,
) -> WithdrawalConfirmed | WithdrawalFailed:
    """Return the fact about a withdrawal that was just settled."""
    if withdrawal.status == "confirmed":
        return withdrawal_fact(
            WithdrawalConfirmed, withdrawal, inclusion, policies, tip_height=tip_height
        )
    return withdrawal_fact(WithdrawalFailed, withdrawal, inclusion, policies, tip_height=tip_height)
