"""Payments of a database that is gone: made with the wallet's key, known to the chain alone."""

from __future__ import annotations

from typing import Any

from agents.adopt_payment import adopt_payment
from agents.sign_withdrawals import SignWithdrawals
from chain_adapters.types import Coin, Payment
from sql.withdrawals import Withdrawal
from tests.support.withdrawals import PayingWorld


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
    key = "SELECT key_path FROM addresses WHERE network = $1 AND address = $2"
    path = await world.pool.fetchval(key, world.network, world.hot_wallet)
    scheme = world.adapter.key_scheme
    signatures = tuple(world.signer.sign(path, p, scheme) for p in unsigned.signing_payloads)
    signed = world.adapter.assemble(unsigned, signatures)
    await world.adapter.broadcast(signed)
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
