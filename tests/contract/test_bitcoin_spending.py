"""What a transaction spends and pays, as a real node gives its bytes."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from chain_adapters.adapter import CoinReader
from chain_adapters.bitcoin.chains import REGTEST
from chain_adapters.types import NodeUnavailable, Payment, SignedTransaction
from chain_adapters.utxo.adapter import UtxoAdapter
from devstack.chains.bitcoin import BitcoinNode, CoreNode
from tests.support.chain_worlds.bitcoin import CoreWorld, open_core_world
from tests.support.core_gateway import Answer, Call, Gateway, fault, result

ONE = 10**8


@pytest.fixture
async def world(bitcoin_node: BitcoinNode) -> AsyncIterator[CoreWorld]:
    opened = await open_core_world(bitcoin_node)
    yield opened
    await opened.close()


async def order(world: CoreWorld, recipient: str) -> tuple[str, SignedTransaction]:
    """Return a funded sender and a signed payment."""
    sender = world.new_address()
    await world.fund(sender, 5 * ONE)
    return sender, await world.order(Payment(sender, recipient, None, ONE))


async def test_coins_outputs_and_the_block_are_told(world: CoreWorld) -> None:
    recipient = world.new_address()
    sender, signed = await order(world, recipient)
    [coin] = await world.coins(sender)
    await world.adapter.broadcast(signed)
    waiting = await world.adapter.fetch_spending(signed.transaction_id)
    await world.mine()
    mined = await world.adapter.fetch_spending(signed.transaction_id)
    tip = await world.adapter.fetch_block(await world.height())
    assert waiting is not None
    assert mined is not None
    assert tip is not None
    assert (waiting.block_id, mined.block_id) == (None, tip.block_id)
    assert (mined.raw, mined.coins) == (signed.raw, (coin.id,))
    [paid, change] = mined.outputs
    assert paid == (recipient, ONE)
    assert change[0] == sender


async def test_what_left_the_chain_is_known_and_in_no_block(world: CoreWorld) -> None:
    _, signed = await order(world, world.new_address())
    await world.adapter.broadcast(signed)
    await world.mine()
    await world.reorganise(1)
    left = await world.adapter.fetch_spending(signed.transaction_id)
    assert left is not None
    assert (left.raw, left.block_id) == (signed.raw, None)


async def test_what_never_was_is_not_known(world: CoreWorld) -> None:
    assert isinstance(world.adapter, CoinReader)
    assert await world.adapter.fetch_spending("ab" * 32) is None


def open_adapter(url: str) -> UtxoAdapter:
    return UtxoAdapter((REGTEST,), REGTEST.network, [url], native_symbol="BTC")


@pytest.mark.parametrize("lie", ["another", "cut", "longer", "none", "no index"])
async def test_a_node_that_gives_other_bytes_is_not_believed(
    world: CoreWorld, bitcoin_node: CoreNode, lie: str
) -> None:
    _, signed = await order(world, world.new_address())
    _, other = await order(world, world.new_address())
    await world.adapter.broadcast(signed)
    lies = {
        "another": result(other.raw.hex()),
        "cut": result(signed.raw[:-5].hex()),
        "longer": result(signed.raw.hex() + "00"),
        "none": result(None),
        "no index": fault(-5, "No such mempool transaction. Use -txindex to enable"),
    }

    def reply(call: Call) -> Answer | None:
        asked = call["method"] == "getrawtransaction" and call["params"][1] == 0
        everything = lie == "no index" and call["method"] == "getrawtransaction"
        return lies[lie] if asked or everything else None

    async with Gateway(bitcoin_node.rpc_url, reply).running() as gateway:
        adapter = open_adapter(gateway.url)
        with pytest.raises(NodeUnavailable):
            await adapter.fetch_spending(signed.transaction_id)
        await adapter.close()
