"""Payments of a database that is gone: made with the wallet's key, known to the chain alone."""

from __future__ import annotations

from typing import Any

import msgspec

from agents.by_operator.adopt_payment import adopt_payment
from agents.sign_withdrawals import SignWithdrawals
from chain_adapters.types import BroadcastOutcome, Coin, Payment, UnsignedTransaction
from sql import attempts as attempts_sql
from sql import wallets as wallets_sql
from sql.withdrawals import Withdrawal
from tests.support.withdrawals import TOKEN, PayingWorld, SimulatedWorld


def stop_signer(world: PayingWorld) -> None:
    """Leave what is approved unsigned, as the manual wants after a restore."""
    runners = world.pipeline.runners
    world.pipeline.runners = [one for one in runners if one.stage.name != SignWithdrawals.name]


async def start_signer(world: PayingWorld) -> None:
    """Sign what was approved meanwhile, and all that comes."""
    await world.pipeline.start()
    await world.settle()


async def pay_before(
    world: PayingWorld, order: Withdrawal, *coins: Coin, contract: str | None = None
) -> str:
    """Pay an order, as the database did that is forgotten; return the transaction's id."""
    payment = Payment(world.hot_wallet, order.address, contract, order.amount_minor, order.memo)
    quote = await world.adapter.quote(payment)
    unsigned = world.adapter.build(payment, quote, quote.next_nonce, coins=coins)
    return await _send(world, unsigned)


async def replace_before(world: PayingWorld, order: Withdrawal) -> str:
    """Replace an order's latest transaction, as that database did; return the new one's id."""
    async with world.pool.acquire() as conn:
        attempts = await attempts_sql.latest_attempts(conn, [order.withdrawal_id])
    latest = attempts[order.withdrawal_id].unsigned
    replaced = msgspec.json.decode(latest, type=UnsignedTransaction)
    quote = await world.adapter.quote(replaced.payment)
    built = world.adapter.build(replaced.payment, quote, order.nonce, replaces=replaced)
    return await _send(world, built)


async def _send(world: PayingWorld, unsigned: UnsignedTransaction) -> str:
    key = "SELECT key_path FROM addresses WHERE network = $1 AND address = $2"
    path = await world.pool.fetchval(key, world.network, world.hot_wallet)
    scheme = world.adapter.key_scheme
    signatures = tuple(world.signer.sign(path, p, scheme) for p in unsigned.signing_payloads)
    signed = world.adapter.assemble(unsigned, signatures)
    assert (await world.adapter.broadcast(signed)).outcome is BroadcastOutcome.ACCEPTED
    return signed.transaction_id


async def adopt(
    world: PayingWorld, order_id: str, transaction_id: str, height: int | None = None
) -> Withdrawal:
    """Take a transaction for an order's payment, as `millrace withdraw adopt` does."""
    return await adopt_payment(
        world.context,
        world.adapter,
        tenant=world.tenant,
        order_id=order_id,
        transaction_id=transaction_id,
        height=height,
        actor="carol",
    )


async def wait_unsigned(world: PayingWorld, **orders: Any) -> list[Withdrawal]:  # noqa: ANN401
    """Let orders be read again, by id with their amounts or commands, while nothing is signed."""
    commands = [
        world.command(id_, **(said if isinstance(said, dict) else {"amount_minor": said}))
        for id_, said in orders.items()
    ]
    return await world.request(*commands)


async def check_wallet(world: SimulatedWorld) -> None:
    """Assert that the books and the counter say of the hot wallet what the chain does."""
    assert await world.parked_facts() == 0
    for asset, contract in ((world.coin, None), (world.token, TOKEN)):
        assert await world.balance("pending", asset) == 0
        held = await world.balance("hot_wallet", asset, owner="")
        assert held == world.received(world.hot_wallet, contract)
    assert await world.next_nonce() == world.chain.state_at(-1).nonce(world.hot_wallet)


async def halted(world: SimulatedWorld) -> str | None:
    async with world.pool.acquire() as conn:
        [wallet] = await wallets_sql.list_wallets(conn, world.tenant)
    return wallet.halted_reason
