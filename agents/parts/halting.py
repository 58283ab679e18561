"""Stopping a hot wallet: something of it has to be looked into before more money leaves."""

from __future__ import annotations

from collections.abc import Iterable

import structlog

from agents.parts.judge_transfer import Known
from agents.runtime.stage import Work
from sql import wallets as wallets_sql
from sql.wallets import ForeignTransaction, Unaccounted
from sql.withdrawals import WaitReason
from topics.blocks import BlockAdded, TransactionRecord

log = structlog.get_logger(__name__)


async def halt_wallet(
    work: Work, network: str, address: str, reason: str, chain_nonce: int | None = None
) -> None:
    """Sign nothing more from a wallet until an operator resumes it.

    `chain_nonce` is what the chain expects next, if it is known to be ahead of us.
    """
    log.critical("hot wallet halted", network=network, address=address, reason=reason)
    await wallets_sql.halt_wallet(work.conn, network, address, reason, chain_nonce)


def foreign_transactions(
    paid: Iterable[tuple[BlockAdded, TransactionRecord]], known: Known
) -> list[ForeignTransaction]:
    """Return what hot wallets paid for, and be it nothing, that is no withdrawal of ours. Pure."""
    found = {
        transaction.id: ForeignTransaction(transaction.id, mine.address, block.height)
        for block, transaction in paid
        if transaction.id not in known.own_transactions
        and (mine := known.owned.get(transaction.payer or "")) is not None
        and mine.purpose == "hot"
    }
    return list(found.values())


async def stop_unaccounted(
    work: Work,
    network: str,
    wallets: Iterable[str],
    with_coins: Iterable[str] = (),
    reorg_depth_max: int = 0,
) -> dict[str, WaitReason]:
    """Return wallets without nonces that paid for what nobody has accounted for, and halt them.

    It may be a payment that a restored database forgot, whose order is at hand once more. A wallet
    `with_coins` that has a payment on its way waits for that first: what it paid for may be that
    very payment, which landed under another id. Once it is `reorg_depth_max` deep, it would be
    known as such. The caller holds the wallets' locks.
    """
    found = await wallets_sql.unaccounted_transactions(work.conn, network, wallets)
    if not found:
        return {}
    fresh = {one.sender for one in found if one.depth < reorg_depth_max}
    waiting = await wallets_sql.count_in_flight(work.conn, network, fresh.intersection(with_coins))
    for one in found:
        if one.sender not in waiting:
            await halt_wallet(work, network, one.sender, unaccounted_reason(one))
    return {
        one.sender: "earlier_payment" if one.sender in waiting else "wallet_halted" for one in found
    }


def unaccounted_reason(one: Unaccounted) -> str:
    """Return why a wallet is halted that paid for what is not ours. Pure."""
    newest = f"transaction {one.newest} in block {one.height}"
    if one.transactions == 1:
        return f"{newest} is not ours"
    return f"{one.transactions} transactions are not ours, the newest is {newest}"
