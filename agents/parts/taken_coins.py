"""Withdrawals of which a block shows that another transaction took a coin they need.

That is the payment itself under an id we do not know, or the payment can never land. Which it is,
the bytes of the other transaction say, whose id proves them; that it is in the chain, our own
blocks say. Nothing is given back before those blocks are as deep as a payment of that amount must
be, and nothing by itself where any transaction of that wallet which is not ours pays the recipient.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from datetime import UTC, datetime
from enum import StrEnum

import msgspec
import structlog

from agents.parts.finality import is_final
from agents.parts.halting import halt_wallet
from agents.parts.network_costs import disown_cost
from agents.runtime.context import Context
from agents.runtime.stage import Work
from agents.runtime.transact import transact
from chain_adapters.adapter import CoinReader
from chain_adapters.types import NodeUnavailable, Spending, UnsignedTransaction
from custody import withdrawal_events as told
from custody.give_up import give_up_lost
from metrics import catalogue
from settings.model import Network
from sql import attempts as attempts_sql
from sql import chain as chain_sql
from sql import coin_losses as losses_sql
from sql import coins as coins_sql
from sql import transactions as transactions_sql
from sql import withdrawals as withdrawals_sql
from sql.attempts import Attempt
from sql.coin_losses import Taker
from sql.transactions import MinedTransaction, NewTransaction
from sql.withdrawals import SENT, Withdrawal
from topics.events import emit_events

log = structlog.get_logger(__name__)

FOREIGN = "a coin was used by a transaction that is not ours"


class Taking(StrEnum):
    """What a transaction that took a withdrawal's coin is to that withdrawal."""

    PAID = "paid"
    """The recipient has what was ordered: its id was changed, or we forgot that we made it."""
    LOST = "lost"
    """Nothing of it: the withdrawal can never land."""
    DOUBT = "doubt"
    """It pays less than was ordered, or what it pays may be another order: somebody has to look."""


async def settle_taken(context: Context, config: Network) -> None:
    """Look who took the coins of withdrawals that no block has shown for a while, and act.

    Those given up are looked at again if what took their coin leaves the chain; what other coins
    they have is let go of when their time has come.
    """
    network, reader = config.network, context.adapters[config.network]
    if not isinstance(reader, CoinReader):
        return
    async with context.pool.acquire() as conn:
        await coins_sql.release_coins(conn, network, config.reorg_depth_max)
        ids = await losses_sql.unseen_withdrawals(conn, network, config.rebroadcast_after_s)
        vital = await losses_sql.vital_coins(conn, network, ids)
        takers = await losses_sql.coin_takers(conn, network, vital)
    read = [(taker, await read_taker(reader, taker)) for taker in takers]
    for taker, spending in read:
        if spending is not None and vital[taker.withdrawal_id].intersection(spending.coins):
            others = {
                t.transaction_id: s
                for t, s in read
                if t.withdrawal_id == taker.withdrawal_id and not t.ours
            }
            async with transact(context) as work:
                await _settle(work, network, taker, spending, others)
    await _look_again(context, network, reader)


async def _look_again(context: Context, network: str, reader: CoinReader) -> None:
    """See what took the coins of given up withdrawals, in the place of what did so before."""
    async with context.pool.acquire() as conn:
        ids = await losses_sql.shaken_losses(conn, network)
        vital = await losses_sql.vital_coins(conn, network, ids)
        takers = await losses_sql.coin_takers(conn, network, vital)
    for taker in takers:
        spending = await read_taker(reader, taker)
        if spending is not None and vital[taker.withdrawal_id].intersection(spending.coins):
            async with transact(context) as work:
                await _retake(work, network, taker, spending)


async def _retake(work: Work, network: str, taker: Taker, spending: Spending) -> None:
    """Note another loss of a withdrawal. If it is its payment, the money was given back in vain."""
    ids = [taker.withdrawal_id]
    locked = await withdrawals_sql.lock_withdrawals(work.conn, ids, ("failed",))
    await chain_sql.lock_cursor(work.conn, network)
    vital = await losses_sql.vital_coins(work.conn, network, ids)
    shaken = await losses_sql.shaken_losses(work.conn, network)
    found = await losses_sql.coin_takers(work.conn, network, vital)
    if not locked or taker.withdrawal_id not in shaken or taker not in found:
        return
    await losses_sql.record_loss(work.conn, network, taker, spending.coins)
    (withdrawal,) = locked
    if judge(withdrawal, taker, spending) is not Taking.LOST:
        await _halt(work, network, withdrawal, halt_reason(withdrawal, taker))


def halt_reason(withdrawal: Withdrawal, taker: Taker) -> str:
    """Return why a wallet is halted whose payment was given up before another made it. Pure."""
    order_id = withdrawal.idempotency_key
    return f"withdrawal {order_id!r} was given up, and {taker.transaction_id} paid its recipient"


async def read_taker(reader: CoinReader, taker: Taker) -> Spending | None:
    """Return what a transaction spends, None if the node does not say now."""
    try:
        return await reader.fetch_spending(taker.transaction_id)
    except NodeUnavailable as fault:
        log.warning("not known what it spends", taker=taker.transaction_id, fault=str(fault)[:300])
        return None


async def _settle(
    work: Work,
    network: str,
    taker: Taker,
    spending: Spending,
    others: Mapping[str, Spending | None],
) -> None:
    """Act on a transaction that took a coin, unless what was known when it was read has changed.

    `others` are all that may have taken one and are not ours, this one too if it is not.
    """
    locked = await withdrawals_sql.lock_withdrawals(work.conn, [taker.withdrawal_id], SENT)
    await chain_sql.lock_cursor(work.conn, network)
    if not locked or not await still_taken(work, network, taker, spending, others.keys()):
        return
    (withdrawal,) = locked
    taking = judge(withdrawal, taker, spending)
    if taking is Taking.LOST and may_be_paid(withdrawal, others.values()):
        taking = Taking.DOUBT
    if taking is Taking.PAID and await losses_sql.claimed_elsewhere(
        work.conn, network, spending.coins, withdrawal.withdrawal_id
    ):
        taking = Taking.DOUBT  # it took a coin of that withdrawal too, and may have paid that
    if taking is Taking.PAID:
        if not is_plain(withdrawal, spending):
            await _halt(work, network, withdrawal)
        await _adopt(work, withdrawal, taker, spending)
        return
    if not taker.ours:
        await _halt(work, network, withdrawal)
    if taking is Taking.DOUBT:
        work.count(catalogue.coin_takings_total.labels(network, Taking.DOUBT))
        log.critical("took a coin, an operator has to judge it", **_names(withdrawal, taker))
    elif await is_final(work, network, withdrawal, taker.height):
        await give_up(work, network, withdrawal, taker, spending)


async def still_taken(
    work: Work, network: str, taker: Taker, spending: Spending, others: Set[str]
) -> bool:
    """Whether the taker still stands in the chain, and all transactions need a coin that it spent.

    And whether the takers that are not ours are `others` as before: a new one may have paid.
    """
    vital = await losses_sql.vital_coins(work.conn, network, [taker.withdrawal_id])
    takers = await losses_sql.coin_takers(work.conn, network, vital)
    if taker not in takers or {t.transaction_id for t in takers if not t.ours} != others:
        return False
    return bool(vital[taker.withdrawal_id].intersection(spending.coins))


def judge(withdrawal: Withdrawal, taker: Taker, spending: Spending) -> Taking:
    """Return what a transaction that took a coin of a withdrawal is to it. Pure."""
    if taker.ours:
        return Taking.LOST
    paid_minor = sum(minor for to, minor in spending.outputs if to == withdrawal.address)
    if paid_minor >= withdrawal.amount_minor:
        return Taking.PAID
    return Taking.DOUBT if paid_minor else Taking.LOST


def may_be_paid(withdrawal: Withdrawal, others: Iterable[Spending | None]) -> bool:
    """Whether any of the wallet's transactions that are not ours pays the recipient. Pure.

    One of which it is not known what it pays may do so too.
    """
    return any(
        spending is None or any(to == withdrawal.address for to, _ in spending.outputs)
        for spending in others
    )


def is_plain(withdrawal: Withdrawal, spending: Spending) -> bool:
    """Whether a transaction pays what was ordered and nothing to anybody else. Pure."""
    given = [(to, minor) for to, minor in spending.outputs if to != withdrawal.sender]
    return given == [(withdrawal.address, withdrawal.amount_minor)]


async def give_up(
    work: Work, network: str, withdrawal: Withdrawal, taker: Taker, spending: Spending
) -> None:
    """Fail what can never land, give its money back, and let go of its other coins in time."""
    detail = f"{taker.transaction_id} in block {taker.height} took a coin that it needs"
    log.critical("given up: can never land", **_names(withdrawal, taker))
    await give_up_lost(work, withdrawal, detail)
    await losses_sql.record_loss(work.conn, network, taker, spending.coins)
    work.count(catalogue.coin_takings_total.labels(network, Taking.LOST))


async def _halt(work: Work, network: str, withdrawal: Withdrawal, reason: str = FOREIGN) -> None:
    await halt_wallet(work, network, withdrawal.sender or "", reason)


def first_coin(attempt: Attempt) -> str:
    """Return the coin that all attempts of ours at a withdrawal spend. Pure."""
    return msgspec.json.decode(attempt.unsigned, type=UnsignedTransaction).coins[0]


async def _adopt(work: Work, withdrawal: Withdrawal, taker: Taker, spending: Spending) -> None:
    """Take a transaction in a block for the payment. Its fee is booked with that from now on."""
    network, ids = str(withdrawal.network), [withdrawal.withdrawal_id]
    cost = await disown_cost(work, network, taker.transaction_id)
    if cost is None:
        return  # its block has just left the chain
    fee_minor = int(cost.amount_minor)
    latest = (await attempts_sql.latest_attempts(work.conn, ids))[withdrawal.withdrawal_id]
    found = found_attempt(withdrawal, latest, spending, fee_minor)
    await transactions_sql.add_transactions(work.conn, network, [found])
    policy = (await withdrawals_sql.withdrawal_policies(work.conn))[withdrawal.asset]
    mined = MinedTransaction(
        found.transaction_id,
        taker.height,
        taker.block_id,
        succeeded=True,
        fee_minor=fee_minor,
        confirm_height=taker.height + policy.confirmations_of(withdrawal.amount_minor) - 1,
    )
    await transactions_sql.mine_transactions(work.conn, network, [mined])
    event = told.replaced_event(
        withdrawal, found.transaction_id, latest.transaction_id, datetime.now(UTC)
    )
    emit_events(work, [event])
    log.warning("paid under another id", **_names(withdrawal, taker))
    work.count(catalogue.coin_takings_total.labels(network, Taking.PAID))


def found_attempt(
    withdrawal: Withdrawal, latest: Attempt, spending: Spending, fee_minor: int
) -> NewTransaction:
    """Return a transaction found in a block as one more attempt. Pure."""
    coin = first_coin(latest)
    return NewTransaction(
        transaction_id=spending.transaction_id,
        withdrawal_id=withdrawal.withdrawal_id,
        sender=withdrawal.sender or "",
        nonce=None,
        coin=coin if coin in spending.coins else None,
        coins=spending.coins,
        valid_until=None,
        attempt=latest.attempt + 1,
        unsigned=latest.unsigned,
        raw=spending.raw,
        fee_minor_max=fee_minor,
    )


def _names(withdrawal: Withdrawal, taker: Taker) -> dict[str, object]:
    return {
        "network": withdrawal.network,
        "withdrawal_id": withdrawal.withdrawal_id,
        "taker": taker.transaction_id,
    }
