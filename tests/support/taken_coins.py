"""Orders whose coin another transaction takes: what their scenarios share."""

from __future__ import annotations

from agents.by_operator.cancel_taken import cancel_taken
from chain_adapters.types import Coin
from chain_adapters.utxo.adapter import UtxoAdapter
from sql import wallets as wallets_sql
from sql.withdrawals import Withdrawal
from tests.support.coin_withdrawals import PayingCoinWorld, Spending

FOREIGN = "a coin was used by a transaction that is not ours"


async def paid_from(world: PayingCoinWorld, order_id: str) -> Coin:
    """Return the first coin that the payment of an order spends."""
    [ours] = await world.spendings(order_id)
    [coin] = [c for c in await world.node.coins(world.hot_wallet) if c.id in ours.coins]
    return coin


async def cancel(
    world: PayingCoinWorld, order_id: str, taken_by: str, paid_order: str | None = None
) -> Withdrawal:
    """Give a payment up by an operator's word."""
    prefix = world.context.settings.topic_prefix
    assert isinstance(world.adapter, UtxoAdapter)
    cancelled = await cancel_taken(
        world.pool,
        prefix,
        world.adapter,
        tenant=world.tenant,
        order_id=order_id,
        taken_by=taken_by,
        paid_order=paid_order,
    )
    await world.settle()
    return cancelled


async def take(world: PayingCoinWorld, order_id: str, amount_minor: int = 500_000) -> Spending:
    """Somebody else has the wallet's key, and is quicker."""
    coin = await paid_from(world, order_id)
    taker = await world.sign_elsewhere(world.node.new_address(), amount_minor, coin)
    await world.land(taker)
    return taker


async def resume(world: PayingCoinWorld) -> None:
    """Let the wallet sign again, as an operator does who has looked."""
    async with world.pool.acquire() as conn:
        await wallets_sql.resume_wallet(conn, world.network, world.tenant)


async def fresh_name(world: PayingCoinWorld) -> str:
    """Return an address of the node's own wallet."""
    return str(await world.node.chain.call("getnewaddress"))


async def mine_just(world: PayingCoinWorld, transaction: str) -> None:
    """Put a transaction, or what is in the pool under an id, into a block, and follow nothing."""
    await world.node.chain.call("generateblock", await fresh_name(world), [transaction])
