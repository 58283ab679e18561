"""Approved payments on their way to a signature, and what those wait for that do not get there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import structlog

from agents.runtime.stage import Work
from chain_adapters.types import PaymentRefused
from custody.pay import Priced, Ready, ready_payments
from sql import withdrawals as withdrawals_sql
from sql.transactions import NewTransaction, PaymentRow
from sql.withdrawals import WAIT_REASONS, WaitReason

log = structlog.get_logger(__name__)


class Queue:
    """The payments of a batch that may still be signed; each step keeps some and tells why.

    `waits` has every payment of the batch that is not signed, so that none is left behind without
    a reason. What was given up meanwhile is among them, and noted nowhere.
    """

    def __init__(
        self,
        rows: Iterable[PaymentRow],
        priced: Sequence[Priced],
        bars: Mapping[int, WaitReason | None],
    ) -> None:
        free = frozenset(withdrawal_id for withdrawal_id, bar in bars.items() if bar is None)
        self.payments: Sequence[Ready] = ready_payments(priced, free)
        self.waits = {
            **{row.withdrawal_id: _wait_for_wallet(row) for row in rows},
            **{one.row.withdrawal_id: _wait_for_quote(one) for one in priced},
            **{withdrawal_id: bar for withdrawal_id, bar in bars.items() if bar is not None},
        }

    def keep(self, payments: Sequence[Ready], others_wait_for: WaitReason) -> None:
        """Go on with these of the payments alone."""
        kept = {payment.row.withdrawal_id for payment in payments}
        left = {payment.row.withdrawal_id for payment in self.payments} - kept
        self.waits |= dict.fromkeys(left, others_wait_for)
        self.payments = payments

    def refuse(self, failed: Iterable[tuple[Ready, Exception]]) -> None:
        """Note why these were not signed, as far as there is a word for it."""
        self.waits |= {
            payment.row.withdrawal_id: _reason_of(error)
            for payment, error in failed
            if isinstance(error, PaymentRefused)
        }

    def sign(self, signed: Iterable[NewTransaction]) -> None:
        """Let go of what is signed: it waits for nothing."""
        for one in signed:
            del self.waits[one.withdrawal_id]


def _wait_for_wallet(row: PaymentRow) -> WaitReason:
    return "no_hot_wallet" if row.sender is None else "wallet_halted"


def _wait_for_quote(one: Priced) -> WaitReason:
    if one.refusal is not None:
        return _reason_of(one.refusal)
    return "no_quote" if one.quote is None else "not_signed"


def _reason_of(refusal: PaymentRefused) -> WaitReason:
    return next((reason for reason in WAIT_REASONS if reason == refusal.reason), "not_signed")


async def note_waits(work: Work, waits: Mapping[int, WaitReason], priced: Iterable[Priced]) -> None:
    """Remember what each payment waits for that is approved still; log a chain's new refusals.

    The caller has locked the withdrawals.
    """
    if not waits:
        return
    fresh = await withdrawals_sql.note_waits(work.conn, waits)
    for row, _, refusal in priced:
        if refusal is not None and row.withdrawal_id in fresh:
            log.warning(
                "withdrawal waits",
                withdrawal_id=row.withdrawal_id,
                waits_for=waits[row.withdrawal_id],
                detail=str(refusal)[:300],
            )
