"""Withdrawals that will not be paid any more: they fail, and their money goes back."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from custody.account_events import paid_debt_events
from custody.outgoing import Outgoing
from custody.withdrawal_events import failed_event
from ledger import rules
from ledger.entries import Outcome
from ledger.post import post
from metrics import catalogue
from sql.transactions import supersede_attempts
from sql.wallets import release_nonce
from sql.withdrawals import Move, Withdrawal, move_withdrawals
from topics.events import emit_events


async def give_up(work: Outgoing, from_status: str, moves: Sequence[Move]) -> list[Withdrawal]:
    """Fail withdrawals that are still in `from_status`, give their money back, and return them."""
    failed = await move_withdrawals(work.conn, from_status, moves)
    if failed:
        await release_holds(work, failed)
        emit_events(work, [failed_event(withdrawal) for withdrawal in failed])
    for withdrawal in failed:
        work.count(
            catalogue.withdrawals_total.labels(withdrawal.network, withdrawal.asset, "failed")
        )
    return failed


async def give_up_one(
    work: Outgoing, withdrawal: Withdrawal, reason: str, detail: str
) -> Withdrawal:
    """Fail a withdrawal whose lock the caller holds, give its money back, and return it."""
    move = Move(withdrawal.withdrawal_id, "failed", reason, detail)
    (failed,) = await give_up(work, withdrawal.status, [move])
    return failed


async def give_up_expired(work: Outgoing, withdrawal: Withdrawal, reason: str, detail: str) -> None:
    """Fail a sent withdrawal whose transactions all expired, and give its money back.

    The caller holds its lock and has seen that no final block has any of them.
    """
    await give_up_one(work, withdrawal, reason, detail)
    await release_nonce(work.conn, withdrawal.withdrawal_id)


async def give_up_lost(work: Outgoing, withdrawal: Withdrawal, detail: str) -> None:
    """Fail a sent withdrawal that can never land, and give its money back.

    The caller holds its lock and has seen a final transaction that took a coin it needs.
    """
    await supersede_attempts(work.conn, [withdrawal.withdrawal_id])
    await give_up_one(work, withdrawal, "coin_taken", detail)


async def release_holds(work: Outgoing, withdrawals: Sequence[Withdrawal]) -> None:
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
