"""An operator's word that a transaction in the chain is the payment of an order, held against it.

For payments that a database restored without its last commits has forgotten: the order is read
again and approved, and the money has left already. The block is read from the node again, and has
to be one that we follow, or so old that no reorganisation reaches it. From then on the transaction
is the order's like any that was signed here: confirm_withdrawals settles it with the next block. So
too if what was forgotten is a replacement, and nothing that we know of the order can land any more.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import NamedTuple

import asyncpg

from agents.by_operator.adoption import (
    NotAdoptable,
    account_for,
    adopted_transaction,
    prove_payment,
)
from agents.by_operator.rescan_blocks import NotRescannable, are_canonical, read_reach
from agents.confirm_withdrawals import ConfirmWithdrawals
from agents.match_deposits import MatchDeposits
from agents.parts.expiry import doubtful_expiries, final_clock
from agents.parts.finality import is_final
from agents.parts.network_costs import disown_cost
from agents.runtime.context import Context
from agents.runtime.stage import Work
from agents.runtime.transact import transact_on
from chain_adapters.adapter import ChainAdapter, CoinReader
from chain_adapters.types import (
    Block,
    NodeUnavailable,
    Payment,
    PaymentRefused,
    Quote,
    Spending,
    Transaction,
)
from custody import withdrawal_events as told
from custody.pay import payment_of
from metrics import catalogue
from sql import attempts as attempts_sql
from sql import rescan as rescan_sql
from sql import transactions as transactions_sql
from sql import wallets as wallets_sql
from sql import withdrawals as withdrawals_sql
from sql.pool import Connection
from sql.transactions import PaymentRow
from sql.withdrawals import APPROVED, OPEN, SENT, WAITING, Move, Withdrawal
from topics.blocks import block_added
from topics.events import emit_events


class Proven(NamedTuple):
    """What the chain says of the payment of an order."""

    order: Withdrawal
    sender: str
    block: Block
    transaction: Transaction
    spending: Spending | None
    """What it spends, where money is held as coins."""
    quote: Quote | None
    """With the wallet's next nonce; None: the node would not say."""
    may_land: bool
    """Whether what we signed may not have expired: by our blocks, or by the node's word."""


async def adopt_payment(
    context: Context,
    adapter: ChainAdapter,
    *,
    tenant: str,
    order_id: str,
    transaction_id: str,
    height: int | None,
    actor: str,
) -> Withdrawal:
    """Take a transaction in the block at `height` for the payment of an order; return the order.

    Without `height`, the block in which Millrace saw that the wallet paid for the transaction. An
    order that awaits approval is approved by `actor`. Raises NotAdoptable, NodeUnavailable.
    """
    order, row, listed = await _read_order(context, tenant, order_id)
    block = await _read_block(context, adapter, transaction_id, height)
    payment = payment_of(row)
    transaction = prove_payment(block, transaction_id, payment, listed)
    spending = None
    if isinstance(adapter, CoinReader):
        spending = await adapter.fetch_spending(transaction_id)
        if spending is None:
            raise NodeUnavailable(f"the node does not tell what {transaction_id} spends")
    quote = await _ask_nonce(adapter, row)
    may_land = order.status in SENT and await _may_land(context, order)
    proven = Proven(order, payment.sender, block, transaction, spending, quote, may_land=may_land)
    async with transact_on(context.pool, context.settings.topic_prefix) as work:
        try:
            await _adopt(context, work, proven, actor)
        except asyncpg.UniqueViolationError as error:
            raise NotAdoptable(_why_refused(error, transaction_id)) from error
        again = await withdrawals_sql.find_withdrawal(work.conn, tenant, order_id)
    return again or order


async def _read_order(
    context: Context, tenant: str, order_id: str
) -> tuple[Withdrawal, PaymentRow, frozenset[str | None]]:
    """Return an order whose money is held, what is to be paid, and its network's contracts."""
    async with context.pool.acquire() as conn:
        found = await withdrawals_sql.find_withdrawal(conn, tenant, order_id)
        if found is None:
            raise NotAdoptable(f"tenant {tenant!r} has no withdrawal {order_id!r}")
        if found.status not in OPEN:
            raise NotAdoptable(
                f"withdrawal {order_id!r} is {found.status}: no money is held for it"
            )
        rows = await transactions_sql.read_payments(
            conn, str(found.network), [found.withdrawal_id], OPEN
        )
        policies = await withdrawals_sql.withdrawal_policies(conn)
    if not rows or rows[0].sender is None:
        raise NotAdoptable(f"tenant {tenant!r} has no hot wallet on {found.network}")
    listed = frozenset(p.contract for p in policies.values() if p.network == found.network)
    return found, rows[0], listed


async def _read_block(
    context: Context, adapter: ChainAdapter, transaction_id: str, height: int | None
) -> Block:
    """Return the block at a height that stages have done; its hashes prove what is in it."""
    network = adapter.network
    async with context.pool.acquire() as conn:
        paid = await transactions_sql.paid_order(conn, network, transaction_id)
        noted = await transactions_sql.noted_height(conn, network, transaction_id)
    if paid is not None:
        raise NotAdoptable(f"{transaction_id} is the payment of {paid[0]}'s withdrawal {paid[1]!r}")
    height = noted if height is None else height
    if height is None:
        raise NotAdoptable(
            f"no block that Millrace followed shows that we paid for {transaction_id}: if one has"
            " it, name its --height"
        )
    try:
        (await read_reach(context, network)).check(height, height)
    except NotRescannable as error:
        raise NotAdoptable(f"block {height} cannot be held against the chain: {error}") from error
    block = await adapter.fetch_block(height)
    if block is None or block.height != height:
        raise NodeUnavailable(f"the node has no block {height}")
    return block


async def _ask_nonce(adapter: ChainAdapter, row: PaymentRow) -> Quote | None:
    """Return a quote for its nonces: of one minor unit to itself, which any wallet with money pays.

    None for a wallet without: it stays behind the chain, and the signer halts it before it signs.
    """
    sender = row.sender or ""
    if row.public_key is not None and row.key_path is not None:
        adapter.derive_address(row.public_key, row.key_path)
    try:
        return await adapter.quote(Payment(sender, sender, None, 1))
    except PaymentRefused:
        return None


async def _adopt(context: Context, work: Work, proven: Proven, actor: str) -> None:
    """Make the transaction the order's, all or nothing. UniqueViolationError: it is another's."""
    network, block = str(proven.order.network), proven.block
    # They would not see what is written here, if the block left the chain meanwhile.
    await rescan_sql.hold_stages(work.conn, [MatchDeposits.name, ConfirmWithdrawals.name])
    if not await are_canonical(work.conn, network, [block]):
        raise NotAdoptable(f"block {block.height} is not in the chain as Millrace follows it")
    order = await _lock(context, work, proven)
    if not await is_final(work, network, order, block.height):
        raise NotAdoptable(
            f"block {block.height} is not as deep yet as the payment would have to be: try later"
        )
    await disown_cost(work, network, proven.transaction.id)
    if order.status in SENT:
        await _replace(work, network, order, proven)
    else:
        await _sign(work, network, order, proven, actor)
    records = list(block_added(network, block))
    await ConfirmWithdrawals(context).search_again(work, network, records)


async def _lock(context: Context, work: Work, proven: Proven) -> Withdrawal:
    """Return the order if nothing that we signed for it can land, and nobody can sign for it."""
    order = proven.order
    named, ids = f"withdrawal {order.idempotency_key!r}", [order.withdrawal_id]
    locked = await withdrawals_sql.lock_withdrawals(work.conn, ids, OPEN)
    if not locked:
        raise NotAdoptable(f"{named} came to its end meanwhile")
    if locked[0].status in SENT and not await _is_over(context, work, proven):
        raise NotAdoptable(
            f"{named} was signed here, and that may be mined any moment: nodes have to say of"
            " all its transactions that their nonce is used, or they have to expire for good"
        )
    return locked[0]


async def _is_over(context: Context, work: Work, proven: Proven) -> bool:
    """Whether nothing that we signed can land: another used its nonce, or it expired for good."""
    uses = await wallets_sql.foreign_nonces(work.conn, [proven.order.withdrawal_id])
    if any(use.nonce is not None for use in uses):
        return True
    return not proven.may_land and await _expire(context, work, proven.order)


async def _may_land(context: Context, order: Withdrawal) -> bool:
    """Whether a transaction that we signed may not have expired for good.

    Nodes are asked by sending it once more, so only what has expired by our own blocks.
    """
    async with context.pool.acquire() as conn:
        clock = await final_clock(conn, context.settings.network(str(order.network)))
        expired = await _has_expired(context, conn, order, clock)
    ids = [order.withdrawal_id]
    return not expired or bool(await doubtful_expiries(context, str(order.network), ids))


async def _expire(context: Context, work: Work, order: Withdrawal) -> bool:
    """Note that an order's transactions expired; whether all did, by the final chain."""
    clock = await final_clock(work.conn, context.settings.network(str(order.network)))
    expired = await _has_expired(context, work.conn, order, clock)
    if clock is not None and expired:
        await attempts_sql.expire_transactions(work.conn, [order.withdrawal_id], clock)
    return expired


async def _has_expired(
    context: Context, conn: Connection, order: Withdrawal, clock: int | None
) -> bool:
    config = context.settings.network(str(order.network))
    stuck = await attempts_sql.stuck_transactions(
        conn, config.network, config.replace_after_s, clock
    )
    return any(one.expired for one in stuck if one.withdrawal_id == order.withdrawal_id)


async def _sign(work: Work, network: str, order: Withdrawal, proven: Proven, actor: str) -> None:
    """Let the transaction be the first of an order for which nothing was signed."""
    if order.status == WAITING:
        await _approve(work, order, actor)
    await _count_nonce(work, network, proven)
    found = adopted_transaction(
        order.withdrawal_id, proven.sender, proven.transaction, proven.spending
    )
    signed = await transactions_sql.sign_withdrawals(work.conn, [found])
    await transactions_sql.add_transactions(work.conn, network, [found])
    emit_events(work, [told.signed_event(one, found.transaction_id) for one in signed])
    work.count(catalogue.withdrawals_total.labels(network, order.asset, "signed"))


async def _replace(work: Work, network: str, order: Withdrawal, proven: Proven) -> None:
    """Let the transaction be one more of an order, whose nonce is counted already."""
    attempts = await attempts_sql.latest_attempts(work.conn, [order.withdrawal_id])
    latest = attempts[order.withdrawal_id]
    found = adopted_transaction(
        order.withdrawal_id,
        proven.sender,
        proven.transaction,
        proven.spending,
        attempt=latest.attempt + 1,
    )
    await transactions_sql.add_transactions(work.conn, network, [found])
    now = datetime.now(UTC)
    emit_events(
        work, [told.replaced_event(order, found.transaction_id, latest.transaction_id, now)]
    )


async def _approve(work: Work, order: Withdrawal, actor: str) -> None:
    """Let an order pass that was approved before: by whom is forgotten too."""
    move = Move(order.withdrawal_id, APPROVED, decided_by=actor)
    approved = await withdrawals_sql.move_withdrawals(work.conn, WAITING, [move])
    emit_events(work, [told.approved_event(one) for one in approved])


async def _count_nonce(work: Work, network: str, proven: Proven) -> None:
    """Lock the wallet, and count one of the nonces that the chain is ahead of us as ours."""
    sender, quote = proven.sender, proven.quote
    if quote is None and proven.spending is None:
        return  # its counter, if it has one, must not begin without a nonce
    first = None if quote is None else quote.first_nonce
    ours = (await wallets_sql.lock_nonces(work.conn, network, {sender: first}))[sender].next_nonce
    if ours is not None and quote is not None and quote.next_nonce is not None:
        counted = account_for(ours, quote.next_nonce)
        await wallets_sql.advance_nonces(work.conn, network, {sender: counted})


def _why_refused(error: asyncpg.UniqueViolationError, transaction_id: str) -> str:
    if "coin_claims" in str(error):
        return (
            f"{transaction_id} took a coin that is kept for another withdrawal, which must come to"
            ' its end first: docs/operations.md, "A coin taken from a payment"'
        )
    return f"{transaction_id} is the payment of another withdrawal already"
