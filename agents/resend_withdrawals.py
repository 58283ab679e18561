"""Sends again what no block has shown, and hands over again what was approved and not signed.

Lost wake-ups, full mempools, restarted nodes and empty hot wallets all end here.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from agents.parts.quotes import measure_low_wallets, price_payments
from agents.parts.sending import record_answers, send_all
from agents.parts.taken_coins import settle_taken
from agents.runtime.context import Context
from agents.runtime.loop import Loop
from agents.runtime.transact import transact
from chain_adapters.types import BroadcastOutcome
from custody import withdrawal_events as told
from settings.model import Network
from sql import chain as chain_sql
from sql import transactions as transactions_sql
from sql import withdrawals as withdrawals_sql
from sql.withdrawals import SENT
from topics.events import emit_events
from topics.withdrawals import WITHDRAWALS_APPROVED, WithdrawalsApproved

BATCH_ROWS = 200


class Round(NamedTuple):
    """How far the approvals of a network were handed over, and when to go on."""

    after_id: int
    due_at: float


class ResendWithdrawals(Loop):
    """Looks every few seconds; acts on what is older than the network's `rebroadcast_after_s`."""

    name = "resend_withdrawals"
    every_s = 2.0

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._rounds: dict[str, Round] = {}

    async def run_once(self) -> None:
        """Do every network once."""
        for network in self.context.settings.networks:
            await settle_taken(self.context, network)
            await self._resend(network)
            await self._hand_over(network)

    async def _resend(self, config: Network) -> None:
        network, after_s = config.network, config.rebroadcast_after_s
        async with self.context.pool.acquire() as conn:
            unseen = await transactions_sql.unseen_transactions(conn, network, after_s, BATCH_ROWS)
        if not unseen:
            return
        answers = await send_all(self.context.adapters[network], network, unseen)
        async with transact(self.context) as work:
            rows = await record_answers(work, network, answers)
        refused = [r.withdrawal_id for r in rows if r.outcome == BroadcastOutcome.REFUSED]
        if refused:
            await self._tell_low(config, refused)

    async def _tell_low(self, config: Network, withdrawal_ids: Sequence[int]) -> None:
        """Tell of wallets that cannot pay any more what is signed: somebody emptied them."""
        network, adapter = config.network, self.context.adapters[config.network]
        async with self.context.pool.acquire() as conn:
            rows = await transactions_sql.read_payments(conn, network, withdrawal_ids, SENT)
            cursor = await chain_sql.read_cursor(conn, network)
        height = 0 if cursor is None else cursor.height
        priced = await price_payments(adapter, rows)
        lows = await measure_low_wallets(adapter, priced, config.native_asset, height)
        now = datetime.now(UTC)
        async with transact(self.context) as work:
            emit_events(work, [told.hot_wallet_low_event(t, low, now) for t, low in lows.items()])

    async def _hand_over(self, config: Network) -> None:
        """Emit old approvals again: all of them in turn, each once in `rebroadcast_after_s`."""
        network, after_s = config.network, config.rebroadcast_after_s
        reached = self._rounds.get(network, Round(after_id=0, due_at=0.0))
        if time.monotonic() < reached.due_at:
            return
        async with transact(self.context) as work:
            ids = await withdrawals_sql.stale_approvals(
                work.conn, network, after_s, reached.after_id, BATCH_ROWS
            )
            if ids:
                work.emit(WITHDRAWALS_APPROVED, network, WithdrawalsApproved(network, ids))
        self._rounds[network] = next_round(reached, ids, time.monotonic() + after_s)


def next_round(reached: Round, ids: Sequence[int], later: float) -> Round:
    """Go on behind a full page at once; at the end begin anew, `later`. Pure."""
    if len(ids) == BATCH_ROWS:
        return reached._replace(after_id=ids[-1])
    return Round(after_id=0, due_at=later)
