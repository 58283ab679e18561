"""Orders whose coin another transaction takes: what their scenarios share."""

from __future__ import annotations

from agents.parts.cancel_taken import cancel_taken
from chain_adapters.types import Coin
from chain_adapters.utxo.adapter import UtxoAdapter
from sql.withdrawals import Withdrawal
from tests.support.coin_withdrawals import PayingCoinWorld, Spending

WHOLE = 10**6
PAID = 400_000
FOREIGN = "a coin was used by a transaction that is not ours"


async def order(world: PayingCoinWorld, order_id: str, amount_minor: int = PAID) -> str:
    """Order a payment and return the address that is to be paid."""
    command = world.command(order_id, amount_minor)
    await world.request(command)
    return str(command["address"])


async def paid_from(world: PayingCoinWorld, order_id: str) -> Coin:
    """Return the first coin that the payment of an order spends."""
    [ours] = await world.spendings(order_id)
    [coin] = [c for c in await world.node.coins(world.hot_wallet) if c.id in ours.coins]
    return coin


async def cancel(world: PayingCoinWorld, order_id: str, taken_by: str) -> Withdrawal:
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
    )
    await world.settle()
    return cancelled


async def take(world: PayingCoinWorld, order_id: str, amount_minor: int = 500_000) -> Spending:
    """Somebody else has the wallet's key, and is quicker."""
    coin = await paid_from(world, order_id)
    taker = await world.sign_elsewhere(world.node.new_address(), amount_minor, coin)
    await world.node.chain.clear_pool()
    assert (await world.submit(taker)).outcome == "accepted"
    await world.mine()
    return taker


async def fresh_name(world: PayingCoinWorld) -> str:
    return str(await world.node.chain.call("getnewaddress"))
