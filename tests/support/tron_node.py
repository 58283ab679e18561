"""What tests ask of the simulated TRON node."""

from __future__ import annotations

import pytest

from chain_adapters.types import BroadcastOutcome, Payment, PaymentRefused, Transaction
from tests.support.chain_worlds.tron import TronWorld


async def read_newest(world: TronWorld) -> tuple[Transaction, ...]:
    block = await world.adapter.fetch_block(await world.height())
    assert block is not None
    return block.transactions


async def send(world: TronWorld, payment: Payment) -> Transaction:
    signed = await world.order(payment)
    assert (await world.adapter.broadcast(signed)).outcome is BroadcastOutcome.ACCEPTED
    await world.mine()
    [transaction] = await read_newest(world)
    assert transaction.id == signed.transaction_id
    return transaction


async def refusal_of(world: TronWorld, payment: Payment) -> str:
    with pytest.raises(PaymentRefused) as refused:
        await world.adapter.quote(payment)
    assert str(refused.value)
    return refused.value.reason
