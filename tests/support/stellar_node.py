"""What tests ask of the simulated Stellar node."""

from __future__ import annotations

import pytest

from chain_adapters.types import (
    Block,
    BroadcastOutcome,
    Payment,
    PaymentRefused,
    SignedTransaction,
    Transaction,
)
from tests.support.chain_worlds.stellar import StellarWorld


async def last_block(world: StellarWorld) -> Block:
    block = await world.adapter.fetch_block(await world.height())
    assert block is not None
    return block


async def only(world: StellarWorld) -> Transaction:
    """Close a ledger and return the one transaction in it."""
    await world.mine()
    (found,) = (await last_block(world)).transactions
    return found


async def outcome(world: StellarWorld, signed: SignedTransaction) -> BroadcastOutcome:
    return (await world.adapter.broadcast(signed)).outcome


async def refusal(world: StellarWorld, payment: Payment) -> str:
    with pytest.raises(PaymentRefused) as refused:
        await world.adapter.quote(payment)
    return refused.value.reason
