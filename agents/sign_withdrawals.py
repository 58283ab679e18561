"""withdrawals-approved → withdrawals-signed: approved withdrawals become signed bytes, stored.

Runs in the signer's process alone. Nonce, bytes and transaction id are committed together and
before anything is sent, so whatever dies, no nonce is lost and none is used twice. What cannot be
quoted or paid now stays approved, and so does what may not be paid now: of a suspended tenant, a
frozen owner, a halted network. What it waits for is noted; resend_withdrawals hands it over again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

import structlog

from agents.parts.expiry import final_clock
from agents.parts.halting import halt_wallet, stop_unaccounted
from agents.parts.quotes import measure_low_wallets, price_payments
from agents.parts.searched import SearchedBlocks
from agents.parts.twins import leave_out_twins
from agents.parts.waits import Queue, note_waits
from agents.runtime.context import Context
from agents.runtime.stage import Stage, Work
from chain_adapters.types import PaymentRefused
from custody import pay
from custody import withdrawal_events as told
from custody.give_up import give_up
from custody.hot_wallet import NoWalletKey, ensure_hot_wallet
from custody.pay import Priced, Purse, Ready, Shortage
from custody.signer import Signer
from metrics import catalogue
from sql import chain as chain_sql
from sql import coins as coins_sql
from sql import transactions as transactions_sql
from sql import wallets as wallets_sql
from sql import withdrawals as withdrawals_sql
from sql.pool import Connection
from sql.transactions import NewTransaction, PaymentRow
from sql.wallets import NonceRow
from sql.withdrawals import APPROVED, Move
from topics.event_data import HotWallet
from topics.events import emit_events
from topics.withdrawals import (
    WITHDRAWALS_APPROVED,
    WITHDRAWALS_SIGNED,
    WithdrawalsApproved,
    WithdrawalsSigned,
)

log = structlog.get_logger(__name__)


class Batch(NamedTuple):
    """The payments of one network, and the wallets that cannot afford theirs."""

    network: str
    rows: list[PaymentRow]
    priced: list[Priced]
    """Those of them that have a wallet which is not halted."""
    low_wallets: dict[str, HotWallet]
    open_before: frozenset[int]
    """Payments that waited for a block before a node told what the wallets hold."""
    clock_before: int | None
    """How far the chain was final before a node told its nonces; see final_clock."""
    searched: bool
    """Whether blocks would show payments that we have forgotten, or nonces do."""


class SignWithdrawals(Stage[WithdrawalsApproved, list[Batch]]):
    """Signs in the order of the withdrawals, wallet by wallet."""

    name = "sign_withdrawals"
    topic = WITHDRAWALS_APPROVED

    def __init__(self, context: Context, signer: Signer) -> None:
        self._context = context
        self._signer = signer
        self._searched = SearchedBlocks(context)

    async def prepare(self, records: Sequence[WithdrawalsApproved]) -> list[Batch]:
        """Ask what each payment costs now."""
        by_network: dict[str, set[int]] = defaultdict(set)
        for record in records:
            by_network[record.network].update(record.withdrawal_ids)
        return [await self._price(network, ids) for network, ids in sorted(by_network.items())]

    async def _price(self, network: str, withdrawal_ids: set[int]) -> Batch:
        adapter = self._context.adapters[network]
        async with self._context.pool.acquire() as conn:
            rows = await transactions_sql.read_payments(conn, network, withdrawal_ids, [APPROVED])
            if await self._make_wallets(network, rows):
                rows = await transactions_sql.read_payments(
                    conn, network, withdrawal_ids, [APPROVED]
                )
            cursor = await chain_sql.read_cursor(conn, network)
            senders = {row.sender for row in rows if row.sender is not None}
            open_before = await wallets_sql.open_payments(conn, network, senders)
            clock_before = await self._final_clock(conn, network)
        priced = await price_payments(adapter, (row for row in rows if row.halted_reason is None))
        native_asset = self._context.settings.network(network).native_asset
        height = 0 if cursor is None else cursor.height
        low = await measure_low_wallets(adapter, priced, native_asset, height)
        uncounted = any(one.quote is not None and one.quote.next_nonce is None for one in priced)
        searched = not uncounted or await self._searched.are_done(network)
        return Batch(network, rows, priced, low, open_before, clock_before, searched)

    async def _final_clock(self, conn: Connection, network: str) -> int | None:
        if self._context.adapters[network].in_flight_max is None:
            return None  # nothing is made of it
        return await final_clock(conn, self._context.settings.network(network))

    async def _make_wallets(self, network: str, rows: Sequence[PaymentRow]) -> bool:
        """Make the hot wallets that tenants lack; whether any was made."""
        tenants = {row.tenant for row in rows if row.sender is None}
        for tenant in sorted(tenants):
            async with self._context.pool.acquire() as conn, conn.transaction():
                try:
                    await ensure_hot_wallet(conn, self._context.adapters[network], tenant, network)
                except NoWalletKey:
                    log.warning("no key for a hot wallet yet", tenant=tenant, network=network)
        return bool(tenants)

    async def apply(
        self, work: Work, _: Sequence[WithdrawalsApproved], prepared: list[Batch]
    ) -> None:
        """Sign what is still approved, give back the money of what can never be paid."""
        # All at once and before any account: whoever cancels one holds that and waits for those.
        ids = [row.withdrawal_id for batch in prepared for row in batch.rows]
        await withdrawals_sql.lock_withdrawals(work.conn, ids, [APPROVED])
        hopeless = [one for batch in prepared for one in batch.priced if one.is_hopeless]
        await give_up(work, APPROVED, failures(hopeless))
        now = datetime.now(UTC)
        for batch in prepared:
            emit_events(
                work,
                [told.hot_wallet_low_event(t, low, now) for t, low in batch.low_wallets.items()],
            )
            await self._sign_batch(work, batch)

    async def _sign_batch(self, work: Work, batch: Batch) -> None:
        """Leave out what may not be paid now, step by step, and sign what is left."""
        network = batch.network
        ids = [row.withdrawal_id for row in batch.rows]
        bars = await withdrawals_sql.signing_bars(work.conn, ids)
        queue = Queue(batch.rows, batch.priced, bars)
        queue.keep(queue.payments if batch.searched else [], "unsearched_blocks")
        chain = pay.chain_nonces(queue.payments)
        ours = await self._lock_wallets(work, network, queue, chain)
        await self._leave_out_unaccounted(work, network, queue)
        queue.keep(await self._leave_room(work, network, queue.payments), "earlier_payment")
        expected, ours = self._usable_nonces(batch, queue.payments, chain, ours)
        queue.keep(expected, "earlier_payment")
        queue.keep(await self._leave_out_short(work, batch, queue.payments), "sender_lacks_funds")
        await self._sign_queue(work, network, queue, ours)
        await note_waits(work, queue.waits, batch.priced)

    async def _lock_wallets(
        self, work: Work, network: str, queue: Queue, chain: Mapping[str, int | None]
    ) -> dict[str, NonceRow]:
        """Lock the wallets and return their nonces; halt, and leave out, what others sign from."""
        # A wallet that never paid, as far as we know, has used none: a chain that says otherwise
        # knows payments that a restored database forgot.
        ours = await wallets_sql.lock_nonces(work.conn, network, pay.first_nonces(queue.payments))
        foreign = pay.find_foreign_use(chain, ours)
        for use in foreign:  # their money may be going
            await halt_wallet(work, network, use.sender, use.reason, use.chain_nonce)
        halted = {sender for sender, row in ours.items() if row.halted_reason}
        stopped = halted.union(use.sender for use in foreign)
        queue.keep([p for p in queue.payments if p.sender not in stopped], "wallet_halted")
        return ours

    async def _sign_queue(
        self, work: Work, network: str, queue: Queue, ours: Mapping[str, NonceRow]
    ) -> None:
        """Sign what the queue still has, and store it with the nonces that it took."""
        purses = await self._open_purses(work, network, queue.payments, ours)
        signed, failed = pay.sign_in_order(
            self._context.adapters[network], self._signer, queue.payments, purses
        )
        queue.refuse(failed)
        self._tell_unsigned(work, network, failed, purses)
        await wallets_sql.advance_nonces(
            work.conn,
            network,
            {sender: purse.nonce for sender, purse in purses.items() if purse.nonce is not None},
        )
        stored = await leave_out_twins(work, network, signed)
        await store(work, network, stored)
        queue.sign(stored)

    async def _leave_out_unaccounted(self, work: Work, network: str, queue: Queue) -> None:
        """Keep payments of wallets that paid, as far as blocks show, for nothing but ours.

        A wallet with money that no block shows to have come was forgotten and made again, or is
        older than what we follow: blocks that were never searched for it may show payments too.
        """
        senders = {p.sender for p in queue.payments if p.quote.next_nonce is None}
        if not senders:
            return
        with_coins = {p.sender for p in queue.payments if p.quote.held_native_minor is None}
        unfunded = await wallets_sql.unfunded_wallets(work.conn, network, senders - with_coins)
        queue.keep([p for p in queue.payments if p.sender not in unfunded], "unsearched_blocks")
        depth_max = self._context.settings.network(network).reorg_depth_max
        stopped = await stop_unaccounted(work, network, senders, with_coins, depth_max)
        for reason in sorted(set(stopped.values())):
            others = [p for p in queue.payments if stopped.get(p.sender) != reason]
            queue.keep(others, reason)

    async def _leave_room(
        self, work: Work, network: str, payments: Sequence[Ready]
    ) -> Sequence[Ready]:
        """Keep to what the chain lets wait at a time; the others are handed over again later."""
        in_flight_max = self._context.adapters[network].in_flight_max
        if in_flight_max is None:
            return payments
        in_flight = await wallets_sql.count_in_flight(
            work.conn, network, (payment.sender for payment in payments)
        )
        return pay.leave_room(payments, in_flight, in_flight_max)

    def _usable_nonces(
        self,
        batch: Batch,
        payments: Sequence[Ready],
        chain: Mapping[str, int | None],
        ours: dict[str, NonceRow],
    ) -> tuple[Sequence[Ready], dict[str, NonceRow]]:
        """Return payments whose nonce the chain expects, where it takes one at a time.

        A nonce that a preparation took in vain comes back; while it may yet land, payments wait.
        """
        if self._context.adapters[batch.network].in_flight_max is None:
            return payments, ours
        usable = {
            s: pay.usable_nonce(chain[s], row, batch.clock_before)
            for s, row in ours.items()
            if row.next_nonce is not None
        }
        waiting = {s for s, nonce in usable.items() if nonce is None}
        for sender in waiting.intersection(p.sender for p in payments):
            log.warning("payments wait for the wallet's preparation", sender=sender)
        return (
            [payment for payment in payments if payment.sender not in waiting],
            ours | {s: ours[s]._replace(next_nonce=nonce) for s, nonce in usable.items()},
        )

    async def _open_purses(
        self,
        work: Work,
        network: str,
        payments: Sequence[Ready],
        ours: Mapping[str, NonceRow],
    ) -> dict[str, Purse]:
        """Return the nonce or the coins of each wallet, whichever its chain has."""
        with_coins = {p.sender for p in payments if p.quote.held_native_minor is None}
        depth_max = self._context.settings.network(network).reorg_depth_max
        coins = await coins_sql.free_coins(
            work.conn, network, with_coins, reorg_depth_max=depth_max
        )
        return {
            p.sender: Purse(
                None if p.quote.next_nonce is None else ours[p.sender].next_nonce,
                coins.get(p.sender, []),
            )
            for p in payments
        }

    def _tell_unsigned(
        self,
        work: Work,
        network: str,
        failed: Sequence[tuple[Ready, Exception]],
        purses: Mapping[str, Purse],
    ) -> None:
        now, native_asset = datetime.now(UTC), self._context.settings.network(network).native_asset
        for payment, error in failed:
            row = payment.row
            waits = isinstance(error, PaymentRefused) and error.reason == "sender_lacks_funds"
            tell = log.info if waits else log.error
            tell("withdrawal not signed", withdrawal_id=row.withdrawal_id, error=str(error))
            if waits:
                held_minor = sum(coin.amount_minor for coin in purses[payment.sender].coins)
                short = Shortage(payment, None, held_minor, max(row.amount_minor, held_minor + 1))
                low = low_wallet(short, network, native_asset)
                emit_events(work, [told.hot_wallet_low_event(row.tenant, low, now)])

    async def _leave_out_short(
        self, work: Work, batch: Batch, payments: Sequence[Ready]
    ) -> list[Ready]:
        """Return what the wallets can pay beside what they owe already; tell of the others."""
        network = batch.network
        promised = await wallets_sql.promised_amounts(
            work.conn, network, (payment.sender for payment in payments), batch.open_before
        )
        affordable, short = pay.within_means(payments, promised)
        now, native_asset = datetime.now(UTC), self._context.settings.network(network).native_asset
        lows = [(s.payment.row.tenant, low_wallet(s, network, native_asset)) for s in short]
        emit_events(work, [told.hot_wallet_low_event(t, low, now) for t, low in lows])
        return affordable


def low_wallet(shortage: Shortage, network: str, native_asset: str) -> HotWallet:
    """Return what a wallet holds and what it would have to. Pure."""
    row = shortage.payment.row
    return HotWallet(
        network=network,
        asset=native_asset if shortage.contract is None else row.asset,
        address=shortage.payment.sender,
        balance_minor=str(shortage.held_minor),
        threshold_minor=str(shortage.needed_minor),
    )


def failures(hopeless: Iterable[Priced]) -> list[Move]:
    """Return the steps of withdrawals that the chain would never take. Pure."""
    return [
        Move(one.row.withdrawal_id, "failed", one.refusal.reason, str(one.refusal)[:300])
        for one in hopeless
        if one.refusal is not None
    ]


async def store(work: Work, network: str, signed: Sequence[NewTransaction]) -> None:
    """Write signed transactions and hand them on for broadcasting."""
    if not signed:
        return
    withdrawals = await transactions_sql.sign_withdrawals(work.conn, signed)
    await transactions_sql.add_transactions(work.conn, network, signed)
    ids = {one.withdrawal_id: one.transaction_id for one in signed}
    emit_events(work, [told.signed_event(w, ids[w.withdrawal_id]) for w in withdrawals])
    work.emit(
        WITHDRAWALS_SIGNED, network, WithdrawalsSigned(network, [s.transaction_id for s in signed])
    )
    for withdrawal in withdrawals:
        work.count(catalogue.withdrawals_total.labels(network, withdrawal.asset, "signed"))
