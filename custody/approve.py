"""An operator's word on a withdrawal. Never by topic, only by CLI or API."""

from __future__ import annotations

from datetime import UTC, datetime

from custody.account_events import paid_debt_events
from custody.errors import CustodyError
from custody.withdrawal_events import (
    Outgoing,
    approved_event,
    failed_event,
    rejected_event,
)
from ledger import rules
from ledger.entries import Outcome
from ledger.post import post
from metrics import catalogue
from sql.transactions import supersede_attempts
from sql.wallets import foreign_nonces, release_nonce
from sql.withdrawals import (
    SENT,
    Move,
    Withdrawal,
    find_withdrawal,
    lock_withdrawals,
    move_withdrawals,
)
from topics.events import emit_events
from topics.withdrawals import WITHDRAWALS_APPROVED, WithdrawalsApproved

WAITING = "awaiting_approval"
UNSIGNED = "approved"


class NotWaiting(CustodyError):
    """There is no such withdrawal, or it does not wait for approval (any more)."""


class MayBePaid(CustodyError):
    """The withdrawal cannot be cancelled: it is at its end, or may be in a block any moment."""


async def approve_withdrawal(
    work: Outgoing, tenant: str, idempotency_key: str, actor: str
) -> Withdrawal:
    """Let a withdrawal be paid. Of two concurrent decisions the second raises NotWaiting."""
    withdrawal = await _decide(work, tenant, idempotency_key, status="approved", actor=actor)
    network = str(withdrawal.network)
    approved = WithdrawalsApproved(network, [withdrawal.withdrawal_id])
    work.emit(WITHDRAWALS_APPROVED, network, approved)
    emit_events(work, [approved_event(withdrawal)])
    return withdrawal


async def reject_withdrawal(
    work: Outgoing, tenant: str, idempotency_key: str, actor: str, detail: str = ""
) -> Withdrawal:
    """Refuse a withdrawal and give its money back. Raises NotWaiting like approve_withdrawal."""
    withdrawal = await _decide(
        work,
        tenant,
        idempotency_key,
        status="rejected",
        actor=actor,
        reason="rejected_by_operator",
        detail=detail,
    )
    await release_holds(work, [withdrawal])
    emit_events(work, [rejected_event(withdrawal)])
    return withdrawal


async def cancel_withdrawal(
    work: Outgoing, tenant: str, idempotency_key: str, detail: str = ""
) -> Withdrawal:
    """Give up an approved withdrawal that cannot be paid any more, and give its money back.

    That is one that was never signed, or one whose nonce was used by a transaction that is not
    ours: nodes said so of every attempt. Raises MayBePaid for all others, NotWaiting if there is
    no such withdrawal. Where money is held as coins a node's word is not enough: see cancel_taken.
    """
    found = await _find(work, tenant, idempotency_key)
    locked = await lock_withdrawals(work.conn, [found.withdrawal_id], (UNSIGNED, *SENT))
    if not locked:
        raise MayBePaid(f"withdrawal {idempotency_key!r} is {found.status}")
    (withdrawal,) = locked
    reason = "cancelled_by_operator"
    if withdrawal.status in SENT:
        uses = await foreign_nonces(work.conn, [withdrawal.withdrawal_id])
        if not any(use.nonce is not None for use in uses):
            raise MayBePaid(f"withdrawal {idempotency_key!r} is signed and may be mined any moment")
        reason = "nonce_used"
        await supersede_attempts(work.conn, [withdrawal.withdrawal_id])
    return await _fail(work, withdrawal, reason, detail)


async def give_up_expired(work: Outgoing, withdrawal: Withdrawal, reason: str, detail: str) -> None:
    """Fail a sent withdrawal whose transactions all expired, and give its money back.

    The caller holds its lock and has seen that no final block has any of them.
    """
    await _fail(work, withdrawal, reason, detail)
    await release_nonce(work.conn, withdrawal.withdrawal_id)


async def give_up_lost(work: Outgoing, withdrawal: Withdrawal, detail: str) -> None:
    """Fail a sent withdrawal that can never land, and give its money back.

    The caller holds its lock and has seen a final transaction that took a coin it needs.
    """
    await supersede_attempts(work.conn, [withdrawal.withdrawal_id])
    await _fail(work, withdrawal, "coin_taken", detail)


async def _fail(work: Outgoing, withdrawal: Withdrawal, reason: str, detail: str) -> Withdrawal:
    move = Move(withdrawal.withdrawal_id, "failed", reason, detail)
    failed = await move_withdrawals(work.conn, withdrawal.status, [move])
    await release_holds(work, failed)
    emit_events(work, [failed_event(row) for row in failed])
    work.count(catalogue.withdrawals_total.labels(withdrawal.network, withdrawal.asset, "failed"))
    return failed[0]


async def release_holds(work: Outgoing, withdrawals: list[Withdrawal]) -> None:
    """Give amount and fee back to the owners of withdrawals that will not be on chain."""
    entries = [
        rules.withdrawal_released(
            w.tenant,
            w.owner,
            w.asset,
            w.amount_minor,
            fee_minor=w.fee_minor,
            withdrawal_id=w.withdrawal_id,
            revision=w.revision,
        )
        for w in withdrawals
    ]
    results = await post(work.conn, entries, work.count)
    for withdrawal, result in zip(withdrawals, results, strict=True):
        if result.outcome not in (Outcome.POSTED, Outcome.DUPLICATE):
            raise RuntimeError(
                f"the hold of withdrawal {withdrawal.withdrawal_id} cannot be released:"
                f" {result.outcome} {result.detail}"
            )
    now = datetime.now(UTC)
    emit_events(
        work,
        [
            event
            for entry, result in zip(entries, results, strict=True)
            for event in paid_debt_events(entry, result, now)
        ],
    )


async def _decide(
    work: Outgoing,
    tenant: str,
    idempotency_key: str,
    *,
    status: str,
    actor: str,
    reason: str | None = None,
    detail: str | None = None,
) -> Withdrawal:
    found = await _find(work, tenant, idempotency_key)
    move = Move(found.withdrawal_id, status, reason, detail, actor)
    moved = await move_withdrawals(work.conn, WAITING, [move])
    if not moved:
        raise NotWaiting(f"withdrawal {idempotency_key!r} does not wait for approval")
    work.count(catalogue.withdrawals_total.labels(found.network, found.asset, status))
    return moved[0]


async def _find(work: Outgoing, tenant: str, idempotency_key: str) -> Withdrawal:
    found = await find_withdrawal(work.conn, tenant, idempotency_key)
    if found is None:
        raise NotWaiting(f"tenant {tenant!r} has no withdrawal {idempotency_key!r}")
    return found
