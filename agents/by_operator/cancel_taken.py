"""An operator's word that a signed payment in coins can never land, held against the chain.

For what the pipeline does not find by itself: a transaction with coins of several addresses, or one
that took the money away from under a deposit whose coin we had spent.
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from typing import NamedTuple

from agents.parts.finality import is_final
from agents.parts.taken_coins import Taking, give_up, judge
from agents.runtime.stage import Work
from agents.runtime.transact import transact_on
from chain_adapters.adapter import CoinReader
from chain_adapters.types import Spending
from custody.approve import MayBePaid, NotWaiting
from sql import chain as chain_sql
from sql import coin_losses as losses_sql
from sql import transactions as transactions_sql
from sql import withdrawals as withdrawals_sql
from sql.coin_losses import Taker
from sql.pool import Connection, Pool
from sql.withdrawals import SENT, Withdrawal

ANCESTORS_MAX = 100
"""Transactions that left the chain and are looked at. More than one is odd already."""


class Suspect(NamedTuple):
    """What the operator says took a coin that every transaction of a withdrawal needs."""

    spending: Spending
    block_id: str | None
    """The block that has it, held against the node's; None if our own records have to tell."""
    paid: Withdrawal | None
    """The order of the same recipient that it is the payment of, by the operator's word."""


async def cancel_taken(
    pool: Pool,
    topic_prefix: str,
    reader: CoinReader,
    *,
    tenant: str,
    order_id: str,
    taken_by: str,
    paid_order: str | None = None,
) -> Withdrawal:
    """Give up a signed payment because the transaction `taken_by` took a coin it needs.

    Raises MayBePaid unless that is so in a block as deep as the payment itself would have to be,
    and the transaction pays the recipient less than was ordered; NotWaiting if there is no such
    withdrawal; NodeUnavailable. With `paid_order`, another open order to the same recipient that
    lost a coin to it too, it has to pay enough for that one and less than both: it paid one of
    them, the operator says which, and that one goes on with it by itself.
    """
    async with pool.acquire() as conn:
        found = await withdrawals_sql.find_withdrawal(conn, tenant, order_id)
        if found is None or found.network is None:
            raise NotWaiting(f"tenant {tenant!r} has no signed withdrawal {order_id!r}")
        ids = [found.withdrawal_id]
        vital = await losses_sql.vital_coins(conn, found.network, ids)
        takers = await losses_sql.coin_takers(conn, found.network, vital)
        attempts = await transactions_sql.list_transactions(conn, found.withdrawal_id)
        paid = await _find_paid(conn, found, paid_order)
    if not vital:
        raise MayBePaid(f"withdrawal {order_id!r} is {found.status}, or in a block")
    suspect = await _read_suspect(reader, vital[found.withdrawal_id], taken_by, paid)
    await _require_no_payment(reader, found, takers, suspect)
    if taken_by in {attempt.transaction_id for attempt in attempts}:
        raise MayBePaid("that is a transaction of the withdrawal itself")
    if taken_by in {taker.transaction_id for taker in takers}:
        suspect = suspect._replace(block_id=None)
    else:
        await _require_in_block(pool, reader, found.network, suspect)
    judged = {taken_by, *(taker.transaction_id for taker in takers)}
    async with transact_on(pool, topic_prefix) as work:
        await _give_up(work, found.network, found.withdrawal_id, suspect, judged)
    return await _read_again(pool, found)


async def _find_paid(
    conn: Connection, given_up: Withdrawal, paid_order: str | None
) -> Withdrawal | None:
    if paid_order is None:
        return None
    paid = await withdrawals_sql.find_withdrawal(conn, given_up.tenant, paid_order)
    if paid is None or paid.withdrawal_id == given_up.withdrawal_id:
        raise NotWaiting(f"tenant {given_up.tenant!r} has no other withdrawal {paid_order!r}")
    if (paid.network, paid.address) != (given_up.network, given_up.address):
        raise MayBePaid(f"withdrawal {paid_order!r} pays another recipient")
    return paid


async def _read_suspect(
    reader: CoinReader, vital: frozenset[str], taken_by: str, paid: Withdrawal | None
) -> Suspect:
    spending = await reader.fetch_spending(taken_by)
    if spending is None or spending.block_id is None:
        raise MayBePaid(f"the node knows of no block with {taken_by}")
    needed = await needed_coins(reader, vital)
    if not needed.intersection(spending.coins):
        raise MayBePaid(f"{taken_by} took no coin that the withdrawal needs")
    if taken_by in {coin.partition(":")[0] for coin in needed}:
        raise MayBePaid(f"{taken_by} took no coin: it made one that the withdrawal needs")
    return Suspect(spending, spending.block_id, paid)


async def _require_in_block(pool: Pool, reader: CoinReader, network: str, suspect: Suspect) -> None:
    """Refuse unless the block, whose hashes prove what is in it, really has the transaction."""
    async with pool.acquire() as conn:
        height = await losses_sql.block_height(conn, network, suspect.block_id)
    block = None if height is None else await reader.fetch_block(height)
    if block is None or block.block_id != suspect.block_id:
        raise MayBePaid(f"block {suspect.block_id} is not in the chain as Millrace follows it")
    if suspect.spending.transaction_id not in {
        transaction.id for transaction in block.transactions
    }:
        raise MayBePaid(f"block {suspect.block_id} has no {suspect.spending.transaction_id}")


async def _require_no_payment(
    reader: CoinReader, withdrawal: Withdrawal, takers: Sequence[Taker], suspect: Suspect
) -> None:
    """Refuse if any transaction of the wallet that is not ours pays what was ordered."""
    for taker in takers:
        spending = await reader.fetch_spending(taker.transaction_id)
        if spending is None:
            raise MayBePaid(f"the node does not know what {taker.transaction_id} pays")
        is_named = taker.transaction_id == suspect.spending.transaction_id
        _require_unpaid(withdrawal, taker, spending, suspect.paid if is_named else None)


async def needed_coins(reader: CoinReader, vital: frozenset[str]) -> frozenset[str]:
    """Return these coins and those from which they come, where that is in no block any more."""
    needed, todo = set(vital), [coin.partition(":")[0] for coin in sorted(vital)]
    for _ in range(ANCESTORS_MAX):
        if not todo:
            break
        maker = await reader.fetch_spending(todo.pop())
        if maker is not None and maker.block_id is None:
            todo += [c.partition(":")[0] for c in maker.coins if c not in needed]
            needed.update(maker.coins)
    return frozenset(needed)


async def _give_up(
    work: Work, network: str, withdrawal_id: int, suspect: Suspect, judged: Set[str]
) -> None:
    ids = [withdrawal_id, *([suspect.paid.withdrawal_id] if suspect.paid else [])]
    both = await withdrawals_sql.lock_withdrawals(work.conn, ids, SENT)
    await chain_sql.lock_cursor(work.conn, network)
    locked = [one for one in both if one.withdrawal_id == withdrawal_id]
    vital = await losses_sql.vital_coins(work.conn, network, [withdrawal_id])
    if not locked or not vital:
        raise MayBePaid("the withdrawal has come to its end, or is in a block, meanwhile")
    takers = await losses_sql.coin_takers(work.conn, network, vital)
    if not {taker.transaction_id for taker in takers} <= judged:
        raise MayBePaid("more transactions of the wallet came meanwhile: try again")
    taker = await _find_taker(work, network, withdrawal_id, takers, suspect)
    (withdrawal,) = locked
    _require_unpaid(withdrawal, taker, suspect.spending, suspect.paid)
    if suspect.paid is not None:
        await _require_paid(
            work, network, suspect.paid, suspect.spending, still_open=len(both) == 2
        )
    if not await is_final(work, network, withdrawal, taker.height):
        raise MayBePaid(f"block {taker.height} is not as deep yet as the payment would have to be")
    await give_up(work, network, withdrawal, taker, suspect.spending)


async def _find_taker(
    work: Work, network: str, withdrawal_id: int, takers: Sequence[Taker], suspect: Suspect
) -> Taker:
    """Return where it is: our records tell of blocks too that are long forgotten."""
    id_, block_id = suspect.spending.transaction_id, suspect.block_id
    for taker in takers:
        if taker.transaction_id == id_:
            return taker
    height = await losses_sql.block_height(work.conn, network, block_id)
    if height is None or block_id is None:
        raise MayBePaid(f"{id_} is not in the chain as Millrace follows it")
    return Taker(withdrawal_id, id_, height, block_id, ours=False)


def _require_unpaid(
    withdrawal: Withdrawal, taker: Taker, spending: Spending, paid: Withdrawal | None = None
) -> None:
    """Refuse if it pays enough for this order, or for both if another one is what it paid."""
    needed_minor = withdrawal.amount_minor + (0 if paid is None else paid.amount_minor)
    if judge(withdrawal._replace(amount_minor=needed_minor), taker, spending) is Taking.PAID:
        what = "what was ordered" if paid is None else "enough for both orders"
        raise MayBePaid(f"{taker.transaction_id} pays the recipient {what}")


async def _require_paid(
    work: Work, network: str, paid: Withdrawal, spending: Spending, *, still_open: bool
) -> None:
    """Refuse unless that order waits still, lost a coin to it, and has its amount from it."""
    named, id_ = f"withdrawal {paid.idempotency_key!r}", spending.transaction_id
    vital = await losses_sql.vital_coins(work.conn, network, [paid.withdrawal_id])
    if not still_open or not vital:
        raise MayBePaid(f"{named} does not wait for a block (any more)")
    takers = await losses_sql.coin_takers(work.conn, network, vital)
    found = [taker for taker in takers if taker.transaction_id == id_]
    if not found or not vital[paid.withdrawal_id].intersection(spending.coins):
        raise MayBePaid(f"{id_} took no coin that {named} needs")
    if judge(paid, found[0], spending) is not Taking.PAID:
        raise MayBePaid(f"{id_} pays the recipient less than {named} orders")


async def _read_again(pool: Pool, found: Withdrawal) -> Withdrawal:
    async with pool.acquire() as conn:
        again = await withdrawals_sql.find_withdrawal(conn, found.tenant, found.idempotency_key)
    if again is None:
        raise NotWaiting(f"withdrawal {found.idempotency_key!r} is gone")
    return again
