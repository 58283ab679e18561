"""What the owners of money hear of an entry that was posted. Pure."""

from __future__ import annotations

from datetime import datetime

from agents.parts.deposit_events import deposit_data, is_from_customer
from custody.withdrawal_events import withdrawal_data
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
            told = [_confirmed(fact, now)]
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
    made, name = (
        (events.DepositConfirmed, "deposit.confirmed")
        if fact.owner
        else (events.DepositUnassigned, "deposit.unassigned")
    )
    return made(
        id=events.make_event_id(now, name, fact.deposit_id, fact.revision),
        tenant=fact.tenant,
        occurred_at=now,
        data=event_data.Deposit(**deposit_data(fact, fact.tip_height - fact.height + 1)),
    )


def _reversed(fact: DepositOrphaned, result: PostResult, now: datetime) -> list[Event]:
    key = (fact.deposit_id, fact.revision)
    frozen = _frozen(fact, key, result, "of a reversed deposit", now)
    reversal = events.DepositReversed(
        id=events.make_event_id(now, "deposit.reversed", *key),
        tenant=fact.tenant,
        occurred_at=now,
        data=event_data.ReversedDeposit(**deposit_data(fact, 0), account_frozen=bool(frozen)),
    )
    return [reversal, *frozen]


def _open_again(fact: WithdrawalUnsettled, result: PostResult, now: datetime) -> list[Event]:
    key = (fact.withdrawal_id, fact.revision)
    frozen = _frozen(fact, ("withdrawal", *key), result, "given back by a withdrawal", now)
    reversal = events.WithdrawalReversed(
        id=events.make_event_id(now, "withdrawal.reversed", *key),
        tenant=fact.tenant,
        occurred_at=now,
        data=event_data.ReversedWithdrawal(
            **withdrawal_data(fact),
            transaction_id=fact.transaction_id,
            account_frozen=bool(frozen),
        ),
    )
    return [reversal, *frozen]


def _frozen(
    fact: DepositOrphaned | WithdrawalUnsettled,
    key: tuple[object, ...],
    result: PostResult,
    what: str,
    now: datetime,
) -> list[Event]:
    """Return account.frozen if some of the money that was to be taken back had been spent."""
    if not result.shortfall_minor:
        return []
    data = event_data.Account(
        owner=fact.owner,
        asset=fact.asset,
        reason=REORGANISED_CREDIT,
        detail=f"{result.shortfall_minor} minor units {what} were spent",
    )
    return [
        events.AccountFrozen(
            id=events.make_event_id(now, "account.frozen", *key),
            tenant=fact.tenant,
            occurred_at=now,
            data=data,
        )
    ]


def _paid(fact: WithdrawalConfirmed, now: datetime) -> Event:
    return events.WithdrawalConfirmed(
        id=events.make_event_id(now, "withdrawal.confirmed", fact.withdrawal_id, fact.revision),
        tenant=fact.tenant,
        occurred_at=now,
        data=event_data.ConfirmedWithdrawal(
            **withdrawal_data(fact),
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
            **withdrawal_data(fact),
            transaction_id=fact.transaction_id,
            reason="failed_on_chain",
            detail="The network took the transaction's fee and undid the rest.",
        ),
    )
