"""Dogecoin's node 1.14, as which a gateway before a real node answers: none can be had itself."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from chain_adapters.dogecoin.chains import REGTEST
from chain_adapters.types import BroadcastOutcome, Holding, NodeUnavailable, Payment
from chain_adapters.utxo.adapter import UtxoAdapter
from devstack.chains.bitcoin import DogecoinNode
from tests.support.chain_worlds.bitcoin import CoreWorld, open_core_world
from tests.support.core_gateway import Gateway, old_dogecoin

ONE = 10**8


@pytest.fixture
async def world(dogecoin_node: DogecoinNode) -> AsyncIterator[CoreWorld]:
    opened = await open_core_world(dogecoin_node)
    yield opened
    await opened.close()


@pytest.fixture
async def gateway(dogecoin_node: DogecoinNode) -> AsyncIterator[Gateway]:
    async with Gateway(dogecoin_node.rpc_url, old_dogecoin).running() as opened:
        yield opened


@pytest.fixture
async def adapter(gateway: Gateway) -> AsyncIterator[UtxoAdapter]:
    opened = UtxoAdapter((REGTEST,), REGTEST.network, [gateway.url], native_symbol="DOGE")
    yield opened
    await opened.close()


async def test_blocks_read_from_bytes_are_those_read_from_json(
    world: CoreWorld, gateway: Gateway, adapter: UtxoAdapter
) -> None:
    sender = world.new_address()
    await world.fund(sender, 500 * ONE)
    for _ in range(3):
        signed = await world.order(Payment(sender, world.new_address(), None, ONE))
        await world.adapter.broadcast(signed)
        await world.mine()
    height = await world.height()
    for h in (0, 1, height - 3, height - 2, height - 1, height):
        assert await adapter.fetch_block(h) == await world.adapter.fetch_block(h)
    assert await adapter.fetch_block(height + 1) is None
    assert gateway.calls.count("getblock") == 7  # one too many, to find out


async def test_a_payment_is_quoted_built_and_sent(world: CoreWorld, adapter: UtxoAdapter) -> None:
    sender = world.new_address()
    await world.fund(sender, 500 * ONE)
    payment = Payment(sender, world.new_address(), None, 100 * ONE)
    quote = await adapter.quote(payment)
    unsigned = adapter.build(payment, quote, None, coins=await world.coins(sender))
    assert unsigned.fee_minor_max == 226 * REGTEST.fee_rate_min // 1000
    signed = world.sign(unsigned)
    assert (await adapter.broadcast(signed)).outcome is BroadcastOutcome.ACCEPTED
    await world.mine()
    assert (await adapter.broadcast(signed)).outcome is BroadcastOutcome.ACCEPTED


async def test_balances_come_from_a_wallet_that_watches(
    world: CoreWorld, adapter: UtxoAdapter
) -> None:
    addresses = [world.new_address() for _ in range(3)]
    await world.fund(addresses[0], 7 * ONE)
    for address in addresses:
        await world.chain.call("importaddress", address, "", False)
    await world.fund(addresses[0], 2 * ONE)
    await world.fund(addresses[2], 5 * ONE)
    await world.chain.call("rescanblockchain")
    held = await adapter.fetch_balances([Holding(address) for address in addresses], 0)
    assert held == [9 * ONE, 0, 5 * ONE]


async def test_addresses_that_no_wallet_watches_have_no_made_up_balance(
    world: CoreWorld, adapter: UtxoAdapter
) -> None:
    address = world.new_address()
    await world.fund(address, ONE)
    with pytest.raises(NodeUnavailable, match="importaddress"):
        await adapter.fetch_balances([Holding(address)], 0)
