"""What withdrawals look like to the outside: pure functions from rows to events.

Each event's id is made of what happened to which withdrawal, and of the time its row says.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sql.withdrawals import Withdrawal
from topics import event_data, events
from topics.events import Event, make_event_id
from topics.ledger import WithdrawalFact


def withdrawal_data(withdrawal: Withdrawal | WithdrawalFact) -> dict[str, Any]:
    """Return the fields that every event about an accepted withdrawal has."""
    return {
        "withdrawal_id": withdrawal.withdrawal_id,
        "idempotency_key": withdrawal.idempotency_key,
        "owner": withdrawal.owner,
        "network": withdrawal.network,
        "asset": withdrawal.asset,
        "amount_minor": str(withdrawal.amount_minor),
        "fee_minor": str(withdrawal.fee_minor),
        "address": withdrawal.address,
        "memo": withdrawal.memo,
    }


def requested_event(withdrawal: Withdrawal) -> Event:
    """Return withdrawal.requested: the order was accepted and its money is held."""
    return events.WithdrawalRequested(
        **_envelope("withdrawal.requested", withdrawal, withdrawal.created_at),
        data=event_data.Withdrawal(**withdrawal_data(withdrawal)),
    )


def awaiting_event(withdrawal: Withdrawal) -> Event:
    """Return withdrawal.awaiting_approval."""
    data = event_data.AwaitingWithdrawal(**withdrawal_data(withdrawal), reason="amount")
    return events.WithdrawalAwaitingApproval(
        **_envelope("withdrawal.awaiting_approval", withdrawal, withdrawal.updated_at), data=data
    )


def approved_event(withdrawal: Withdrawal) -> Event:
    """Return withdrawal.approved."""
    data = event_data.ApprovedWithdrawal(
        **withdrawal_data(withdrawal), approved_by=withdrawal.decided_by or ""
    )
    return events.WithdrawalApproved(
        **_envelope("withdrawal.approved", withdrawal, withdrawal.updated_at), data=data
    )


def rejected_event(withdrawal: Withdrawal) -> Event:
    """Return withdrawal.rejected for an order that is kept."""
    data = event_data.RejectedWithdrawal(
        withdrawal_id=withdrawal.withdrawal_id,
        idempotency_key=withdrawal.idempotency_key,
        owner=withdrawal.owner,
        network=withdrawal.network,
        asset=withdrawal.asset,
        amount_minor=str(withdrawal.amount_minor),
        address=withdrawal.address,
        reason=withdrawal.reason or "",
        detail=withdrawal.detail or "",
    )
    return events.WithdrawalRejected(
        **_envelope("withdrawal.rejected", withdrawal, withdrawal.updated_at), data=data
    )


def failed_event(withdrawal: Withdrawal) -> Event:
    """Return withdrawal.failed for one that was given up: no block has decided on it."""
    data = event_data.FailedWithdrawal(
        **withdrawal_data(withdrawal),
        transaction_id=None,
        reason=withdrawal.reason or "",
        detail=withdrawal.detail or "",
    )
    return events.WithdrawalFailed(
        **_envelope("withdrawal.failed", withdrawal, withdrawal.updated_at), data=data
    )


def signed_event(withdrawal: Withdrawal, transaction_id: str) -> Event:
    """Return withdrawal.signed."""
    return events.WithdrawalSigned(
        **_envelope("withdrawal.signed", withdrawal, withdrawal.updated_at),
        data=_sent(withdrawal, transaction_id),
    )


def broadcast_event(withdrawal: Withdrawal, transaction_id: str) -> Event:
    """Return withdrawal.broadcast: a node took the transaction for the first time."""
    return events.WithdrawalBroadcast(
        **_envelope("withdrawal.broadcast", withdrawal, withdrawal.updated_at),
        data=_sent(withdrawal, transaction_id),
    )


def replaced_event(
    withdrawal: Withdrawal, transaction_id: str, replaced_id: str, now: datetime
) -> Event:
    """Return withdrawal.replaced: `transaction_id` may pay it, or has, instead of `replaced_id`."""
    data = event_data.ReplacedWithdrawal(
        **withdrawal_data(withdrawal),
        transaction_id=transaction_id,
        nonce=withdrawal.nonce,
        replaced_transaction_id=replaced_id,
    )
    return events.WithdrawalReplaced(
        **_envelope("withdrawal.replaced", withdrawal, now, transaction_id), data=data
    )


def hot_wallet_low_event(tenant: str, wallet: event_data.HotWallet, now: datetime) -> Event:
    """Return hot_wallet.low, the same event for a whole hour."""
    hour = now.replace(minute=0, second=0, microsecond=0)
    key = ("hot_wallet.low", wallet.network, wallet.address, wallet.asset)
    return events.HotWalletLow(
        id=make_event_id(hour, *key), tenant=tenant, occurred_at=now, data=wallet
    )


def _sent(withdrawal: Withdrawal, transaction_id: str) -> event_data.SentWithdrawal:
    return event_data.SentWithdrawal(
        **withdrawal_data(withdrawal), transaction_id=transaction_id, nonce=withdrawal.nonce
    )


def _envelope(
    event_type: str, withdrawal: Withdrawal, occurred_at: datetime, *key: object
) -> dict[str, Any]:
    return {
        "id": make_event_id(
            occurred_at, event_type, withdrawal.withdrawal_id, withdrawal.revision, *key
        ),
        "tenant": withdrawal.tenant,
        "occurred_at": occurred_at,
    }
