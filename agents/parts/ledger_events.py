"""What the owners of money hear of an entry that was posted. Pure."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from agents.parts.deposit_events import deposit_data, is_from_customer
from ledger.chart import REORGANISED_CREDIT
from ledger.entries import PostResult
from topics import event_data, events
from topics.events import Event
from topics.ledger import (
    DepositConfirmed,
    DepositFact,
    DepositOrphaned,
    LedgerFact,
    WithdrawalConfirmed,
    WithdrawalFact,
    WithdrawalFailed,
    WithdrawalUnsettled,
)


def events_of(fact: LedgerFact, result: PostResult, now: datetime) -> list[Event]:
    """Return the events of a posted fact. Money of the tenant's own wallets has none."""
    told: list[Event] = []
    match fact:
        case DepositFact() if not is_from_customer(fact):
            pass
        case DepositConfirmed():
            told = [_confirmed(fact, now) if fact.owner else _unassigned(fact, now)]
        case DepositOrphaned():
            told = _reversed(fact, result, now)
        case WithdrawalConfirmed():
            told = [_paid(fact, now)]
        case WithdrawalFailed():
            told = [_failed(fact, now)]
        case WithdrawalUnsettled():
            told = _open_again(fact, result, now)
    return told


def _confirmed(fact: DepositConfirmed, now: datetime) -> Event:
    return events.DepositConfirmed(
        id=events.make_event_id(now, "deposit.confirmed", fact.deposit_id, fact.revision),
        tenant=fact.tenant,
        occurred_at=now,
        data=event_data.Deposit(**deposit_data(fact, fact.tip_height - fact.height + 1)),
    )


def _unassigned(fact: DepositConfirmed, now: datetime) -> Event:
    return events.DepositUnassigned(
        id=events.make_event_id(now, "deposit.unassigned", fact.deposit_id, fact.revision),
        tenant=fact.tenant,
        occurred_at=now,
        data=event_data.Deposit(**deposit_data(fact, fact.tip_height - fact.height + 1)),
    )


def _open_again(fact: WithdrawalUnsettled, result: PostResult, now: datetime) -> list[Event]:
    frozen = result.shortfall_minor > 0
    reversal = events.WithdrawalReversed(
        id=events.make_event_id(now, "withdrawal.reversed", fact.withdrawal_id, fact.revision),
        tenant=fact.tenant,
        occurred_at=now,
        data=event_data.ReversedWithdrawal(
            **_withdrawal_data(fact), transaction_id=fact.transaction_id, account_frozen=frozen
        ),
    )
    return [reversal, _owing(fact, result, now)] if frozen else [reversal]


def _owing(fact: WithdrawalUnsettled, result: PostResult, now: datetime) -> Event:
    """Money that was given back had been spent when the payment turned out to be under way."""
    return events.AccountFrozen(
        id=events.make_event_id(
            now, "account.frozen", "withdrawal", fact.withdrawal_id, fact.revision
        ),
        tenant=fact.tenant,
        occurred_at=now,
        data=event_data.Account(
            owner=fact.owner,
            asset=fact.asset,
            reason=REORGANISED_CREDIT,
            detail=f"{result.shortfall_minor} minor units given back by a withdrawal were spent",
        ),
    )


def _reversed(fact: DepositOrphaned, result: PostResult, now: datetime) -> list[Event]:
    frozen = result.shortfall_minor > 0
    reversal = events.DepositReversed(
        id=events.make_event_id(now, "deposit.reversed", fact.deposit_id, fact.revision),
        tenant=fact.tenant,
        occurred_at=now,
        data=event_data.ReversedDeposit(**deposit_data(fact, 0), account_frozen=frozen),
    )
    if not frozen:
        return [reversal]
    return [
        reversal,
        events.AccountFrozen(
            id=events.make_event_id(now, "account.frozen", fact.deposit_id, fact.revision),
            tenant=fact.tenant,
            occurred_at=now,
            data=event_data.Account(
                owner=fact.owner,
                asset=fact.asset,
                reason=REORGANISED_CREDIT,
                detail=f"{result.shortfall_minor} minor units of a reversed deposit were spent",
            ),
        ),
    ]


def _paid(fact: WithdrawalConfirmed, now: datetime) -> Event:
    return events.WithdrawalConfirmed(
        id=events.make_event_id(now, "withdrawal.confirmed", fact.withdrawal_id, fact.revision),
        tenant=fact.tenant,
        occurred_at=now,
        data=event_data.ConfirmedWithdrawal(
            **_withdrawal_data(fact),
            transaction_id=fact.transaction_id,
            height=fact.height,
            block_id=fact.block_id,
            confirmations=fact.tip_height - fact.height + 1,
            network_fee_minor=fact.network_fee_minor,
            network_fee_asset=fact.network_fee_asset,
        ),
    )


def _failed(fact: WithdrawalFailed, now: datetime) -> Event:
    return events.WithdrawalFailed(
        id=events.make_event_id(now, "withdrawal.failed", fact.withdrawal_id, fact.revision),
        tenant=fact.tenant,
        occurred_at=now,
        data=event_data.FailedWithdrawal(
            **_withdrawal_data(fact),
            transaction_id=fact.transaction_id,
            reason="failed_on_chain",
            detail="The network took the transaction's fee and undid the rest.",
        ),
    )


def _withdrawal_data(fact: WithdrawalFact) -> dict[str, Any]:
    return {
        "withdrawal_id": fact.withdrawal_id,
        "idempotency_key": fact.idempotency_key,
        "owner": fact.owner,
        "network": fact.network,
        "asset": fact.asset,
        "amount_minor": fact.amount_minor,
        "fee_minor": fact.fee_minor,
        "address": fact.address,
        "memo": fact.memo,
    }
