"""An operator's word on a withdrawal that waits for it. Never by topic, only by CLI or API."""

from __future__ import annotations

from custody.errors import CustodyError
from custody.withdrawal_events import Outgoing, approved_event, rejected_event
from ledger import rules
from ledger.entries import Outcome
from ledger.post import post
from metrics import catalogue
from sql.withdrawals import Move, Withdrawal, find_withdrawal, move_withdrawals
from topics.events import emit_events
from topics.withdrawals import WITHDRAWALS_APPROVED, WithdrawalsApproved

WAITING = "awaiting_approval"


class NotWaiting(CustodyError):
    """There is no such withdrawal, or it does not wait for approval (any more)."""


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


async def release_holds(work: Outgoing, withdrawals: list[Withdrawal]) -> None:
    """Give amount and fee back to the owners of withdrawals that will not be on chain."""
    results = await post(
        work.conn,
        [
            rules.withdrawal_released(
                w.tenant,
                w.owner,
                w.asset,
                w.amount_minor,
                fee_minor=w.fee_minor,
                withdrawal_id=w.withdrawal_id,
            )
            for w in withdrawals
        ],
    )
    for withdrawal, result in zip(withdrawals, results, strict=True):
        if result.outcome not in (Outcome.POSTED, Outcome.DUPLICATE):
            raise RuntimeError(
                f"the hold of withdrawal {withdrawal.withdrawal_id} cannot be released:"
                f" {result.outcome} {result.detail}"
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
    found = await find_withdrawal(work.conn, tenant, idempotency_key)
    if found is None:
        raise NotWaiting(f"tenant {tenant!r} has no withdrawal {idempotency_key!r}")
    move = Move(found.withdrawal_id, status, reason, detail, actor)
    moved = await move_withdrawals(work.conn, WAITING, [move])
    if not moved:
        raise NotWaiting(f"withdrawal {idempotency_key!r} does not wait for approval")
    catalogue.withdrawals_total.labels(found.network, found.asset, status).inc()
    return moved[0]
