"""An operator's word on a withdrawal. Never by topic, only by the command line."""

from __future__ import annotations

from custody.errors import CustodyError
from custody.give_up import give_up_one, release_holds
from custody.outgoing import Outgoing
from custody.withdrawal_events import approved_event, rejected_event
from metrics import catalogue
from sql.transactions import supersede_attempts
from sql.wallets import foreign_nonces
from sql.withdrawals import (
    APPROVED,
    SENT,
    WAITING,
    Move,
    Withdrawal,
    find_withdrawal,
    lock_withdrawals,
    move_withdrawals,
)
from topics.events import emit_events
from topics.withdrawals import WITHDRAWALS_APPROVED, WithdrawalsApproved


class NotWaiting(CustodyError):
    """There is no such withdrawal, or it does not wait for approval (any more)."""


class MayBePaid(CustodyError):
    """The withdrawal cannot be cancelled: it is at its end, or may be in a block any moment."""


async def approve_withdrawal(
    work: Outgoing, tenant: str, idempotency_key: str, actor: str
) -> Withdrawal:
    """Let a withdrawal be paid. Of two concurrent decisions the second raises NotWaiting."""
    withdrawal = await _decide(work, tenant, idempotency_key, status=APPROVED, actor=actor)
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
    locked = await lock_withdrawals(work.conn, [found.withdrawal_id], (APPROVED, *SENT))
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
    return await give_up_one(work, withdrawal, reason, detail)


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
