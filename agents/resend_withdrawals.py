"""Sends again what no block has shown, and hands over again what was approved and not signed.

Lost wake-ups, full mempools, restarted nodes and empty hot wallets all end here.
"""

from __future__ import annotations

import time

from agents.context import Context
from agents.loop import Loop
from agents.sending import record_answers, send_all
from agents.transact import transact
from settings.model import Network
from sql import transactions as transactions_sql
from sql import withdrawals as withdrawals_sql
from topics.withdrawals import WITHDRAWALS_APPROVED, WithdrawalsApproved

BATCH_ROWS = 200


class ResendWithdrawals(Loop):
    """Looks every few seconds; acts on what is older than the network's `rebroadcast_after_s`."""

    name = "resend_withdrawals"
    every_s = 2.0

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._handed_over_at: dict[str, float] = {}

    async def run_once(self) -> None:
        """Do every network once."""
        for network in self.context.settings.networks:
            await self._resend(network)
            await self._hand_over(network)

    async def _resend(self, config: Network) -> None:
        network, after_s = config.network, config.rebroadcast_after_s
        async with self.context.pool.acquire() as conn:
            rows = await transactions_sql.unseen_transactions(conn, network, after_s, BATCH_ROWS)
        if not rows:
            return
        answers = await send_all(self.context.adapters[network], network, rows)
        async with transact(self.context) as work:
            await record_answers(work, network, answers)

    async def _hand_over(self, config: Network) -> None:
        """Emit old approvals again, at most once in `rebroadcast_after_s`."""
        network, after_s = config.network, config.rebroadcast_after_s
        now = time.monotonic()
        if now - self._handed_over_at.get(network, -after_s) < after_s:
            return
        async with transact(self.context) as work:
            ids = await withdrawals_sql.stale_approvals(work.conn, network, after_s, BATCH_ROWS)
            if ids:
                self._handed_over_at[network] = now
                work.emit(WITHDRAWALS_APPROVED, network, WithdrawalsApproved(network, ids))
