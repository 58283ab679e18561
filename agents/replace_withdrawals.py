"""Makes another transaction for withdrawals whose last one waits for long or has expired.

Runs in the signer's process. Old and new share the nonce or a coin, so that the chain takes one of
them at most, and whichever lands is recognised. Where neither exists, a new one is made only once
the final chain is beyond the old one's expiry without it, and nodes refuse the old one's bytes.
Everything is stored before sending.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

import structlog

from agents.parts.expiry import doubtful_expiries, final_clock
from agents.parts.halting import stop_unaccounted
from agents.parts.quotes import price_nothing, price_payments
from agents.parts.searched import SearchedBlocks
from agents.parts.twins import leave_out_twins
from agents.runtime.context import Context
from agents.runtime.loop import Loop
from agents.runtime.stage import Work
from agents.runtime.transact import transact
from chain_adapters.types import PaymentRefused
from custody import withdrawal_events as told
from custody.give_up import give_up_expired
from custody.pay import Priced, Purse, Ready, ready_payments, require_means, sign_payment
from custody.signer import Signer
from metrics import catalogue
from settings.model import Network
from sql import attempts as attempts_sql
from sql import coins as coins_sql
from sql import transactions as transactions_sql
from sql import wallets as wallets_sql
from sql import withdrawals as withdrawals_sql
from sql.attempts import Attempt
from sql.transactions import NewTransaction
from sql.withdrawals import SENT, Withdrawal
from topics.events import emit_events
from topics.withdrawals import WITHDRAWALS_SIGNED, WithdrawalsSigned

log = structlog.get_logger(__name__)


class ReplaceWithdrawals(Loop):
    """Acts on what waits longer than the network's `replace_after_s`, lowest nonce first."""

    name = "replace_withdrawals"
    every_s = 5.0

    def __init__(self, context: Context, signer: Signer) -> None:
        super().__init__(context)
        self._signer = signer
        self._searched = SearchedBlocks(context)

    async def run_once(self) -> None:
        """Do every network once."""
        for network in self.context.settings.networks:
            await self._replace_stuck(network)

    async def _replace_stuck(self, config: Network) -> None:
        network = config.network
        async with self.context.pool.acquire() as conn:
            clock = await final_clock(conn, config)
            stuck = {
                one.withdrawal_id: one.expired
                for one in await attempts_sql.stuck_transactions(
                    conn, network, config.replace_after_s, clock
                )
            }
            rows = await transactions_sql.read_payments(conn, network, stuck, SENT)
            latest = await attempts_sql.latest_attempts(conn, stuck)
        doubtful = await doubtful_expiries(self.context, network, stuck)
        rows = [r for r in rows if r.halted_reason is None and r.withdrawal_id not in doubtful]
        adapter = self.context.adapters[network]
        priced = await price_payments(adapter, rows)
        undone = [one.row for one in priced if one.is_hopeless and not stuck[one.row.withdrawal_id]]
        outbid = [*priced, *await price_nothing(adapter, undone)]
        # Blocks that are not searched may hold attempts that we have forgotten.
        searched = bool(priced) and await self._searched.are_done(network)
        for payment in ready_payments(outbid, frozenset(stuck)):
            if payment.is_unguarded and not searched:
                continue
            async with transact(self.context) as work:
                await self._replace(work, config, payment, latest)
        for one in priced:
            if searched and one.is_hopeless and stuck[one.row.withdrawal_id]:
                await self._give_up(config, one, latest)

    async def _replace(
        self, work: Work, config: Network, payment: Ready, latest: Mapping[int, Attempt]
    ) -> None:
        """Replace the latest attempt, unless a block or another worker was quicker.

        `latest` are those that nodes were asked of.
        """
        ids = [payment.row.withdrawal_id]
        locked = await withdrawals_sql.lock_withdrawals(work.conn, ids, SENT)
        stuck = await self._still_stuck(work, config)
        if payment.row.withdrawal_id not in stuck:
            return
        attempts = await attempts_sql.latest_attempts(work.conn, ids)
        for withdrawal in locked:
            attempt = attempts.get(withdrawal.withdrawal_id)
            if attempt is None or attempt != latest.get(withdrawal.withdrawal_id):
                continue
            if withdrawal.sender == payment.sender:
                await self._renew(work, config, payment, withdrawal, attempt)

    async def _still_stuck(self, work: Work, config: Network) -> Mapping[int, bool]:
        clock = await final_clock(work.conn, config)
        stuck = await attempts_sql.stuck_transactions(
            work.conn, config.network, config.replace_after_s, clock
        )
        return {one.withdrawal_id: one.expired for one in stuck}

    async def _renew(
        self,
        work: Work,
        config: Network,
        payment: Ready,
        withdrawal: Withdrawal,
        attempt: Attempt,
    ) -> None:
        network, sender = config.network, payment.sender
        wallets = await wallets_sql.lock_nonces(work.conn, network, {sender: 0})
        if wallets[sender].halted_reason is not None:
            return  # since it was priced
        if payment.is_unguarded and await stop_unaccounted(work, network, [sender]):
            return  # one of them may be an attempt that we have forgotten
        coins = await coins_sql.free_coins(
            work.conn, network, [sender], reorg_depth_max=config.reorg_depth_max
        )
        purse = Purse(withdrawal.nonce, coins.get(sender, []))
        payer = self.context.adapters[network]
        try:
            new = sign_payment(payer, self._signer, payment, purse, replaces=attempt)
            require_means(payment, new.fee_minor_max)  # or it is refused, and the next costs more
        except PaymentRefused as refusal:
            log.warning(
                "not replaced",
                network=network,
                transaction_id=attempt.transaction_id,
                reason=refusal.reason,
            )
            return
        if not await leave_out_twins(work, network, [new]):
            return
        clock = await final_clock(work.conn, config)
        if clock is not None:
            ids = [withdrawal.withdrawal_id]
            await attempts_sql.expire_transactions(work.conn, ids, clock)
        await store_replacement(work, network, withdrawal, attempt, new)

    async def _give_up(
        self, config: Network, hopeless: Priced, latest: Mapping[int, Attempt]
    ) -> None:
        """Fail what expired and can never be paid, and give its money back."""
        ids = [hopeless.row.withdrawal_id]
        async with transact(self.context) as work:
            locked = await withdrawals_sql.lock_withdrawals(work.conn, ids, SENT)
            stuck = await self._still_stuck(work, config)
            clock = await final_clock(work.conn, config)
            if not locked or not stuck.get(ids[0]) or clock is None or hopeless.refusal is None:
                return
            attempts = await attempts_sql.latest_attempts(work.conn, ids)
            if attempts.get(ids[0]) != latest.get(ids[0]):
                return  # another worker made one of which nodes were not asked
            sender = locked[0].sender or ""
            await wallets_sql.lock_nonces(work.conn, config.network, {sender: 0})
            if await stop_unaccounted(work, config.network, [sender]):
                return
            await attempts_sql.expire_transactions(work.conn, ids, clock)
            refusal = hopeless.refusal
            await give_up_expired(work, locked[0], refusal.reason, str(refusal)[:300])


async def store_replacement(
    work: Work, network: str, withdrawal: Withdrawal, old: Attempt, new: NewTransaction
) -> None:
    """Write the new attempt and hand it on for broadcasting."""
    await transactions_sql.add_transactions(work.conn, network, [new])
    event = told.replaced_event(
        withdrawal, new.transaction_id, old.transaction_id, datetime.now(UTC)
    )
    emit_events(work, [event])
    work.emit(WITHDRAWALS_SIGNED, network, WithdrawalsSigned(network, [new.transaction_id]))
    work.count(catalogue.withdrawal_replacements_total.labels(network))
