"""What the tests of the adapters' contract ask of a world."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from chain_adapters.types import (
    Block,
    BroadcastOutcome,
    Payment,
    SignedTransaction,
    Transaction,
    Transfer,
)
from tests.support.chain_worlds import CHAINS, Chain, World


def chains(which: Callable[[Chain], bool] = lambda _: True) -> pytest.MarkDecorator:
    """Run a test on every chain whose rules are so."""
    kinds = [kind for kind, chain in CHAINS.items() if which(chain)]
    return pytest.mark.parametrize("world", kinds, indirect=True)


def pay(sender: str, recipient: str, amount_minor: int, contract: str | None = None) -> Payment:
    return Payment(sender, recipient, contract, amount_minor)


async def read(world: World, height: int) -> Block:
    block = await world.adapter.fetch_block(height)
    assert block is not None
    return block


async def read_from(world: World, height: int) -> list[Block]:
    return [await read(world, h) for h in range(height, await world.height() + 1)]


async def find(world: World, transaction_id: str, since: int) -> Transaction | None:
    """Look for a transaction in the blocks from a height on."""
    found = [t for b in await read_from(world, since) for t in b.transactions]
    return next((t for t in found if t.id == transaction_id), None)


async def arrived(world: World, address: str, since: int) -> list[Transfer]:
    """Return what came to an address in the blocks from a height on."""
    return [
        transfer
        for block in await read_from(world, since)
        for transaction in block.transactions
        for transfer in transaction.transfers
        if transfer.address == address
    ]


async def accept(world: World, signed: SignedTransaction) -> None:
    answer = await world.adapter.broadcast(signed)
    assert answer.outcome is BroadcastOutcome.ACCEPTED, answer.detail


async def send(world: World, payment: Payment) -> Transaction:
    """Make a payment and mine it."""
    since = await world.height() + 1
    signed = await world.order(payment)
    await accept(world, signed)
    await world.mine()
    mined = await find(world, signed.transaction_id, since)
    assert mined is not None
    return mined
