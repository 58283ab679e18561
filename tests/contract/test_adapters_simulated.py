"""What the simulated chain adds to the interface: faults on order and deep reorganisations."""

from __future__ import annotations

import asyncio

import pytest

from chain_adapters.registry import open_adapter
from chain_adapters.simulated import Mischief, SimulatedAdapter
from chain_adapters.types import BroadcastOutcome, NodeUnavailable, Payment
from settings.model import Network
from tests.support.chain_worlds import SimulatedWorld


@pytest.fixture
async def world() -> SimulatedWorld:
    return SimulatedWorld()


async def paid(world: SimulatedWorld) -> tuple[str, str]:
    """Mine one payment; return the recipient and the transaction's id."""
    sender, recipient = world.new_address(), world.new_address()
    await world.fund(sender, 10**18)
    signed = await world.order(Payment(sender, recipient, None, 5))
    await world.adapter.broadcast(signed)
    await world.mine()
    return recipient, signed.transaction_id


async def ids_at(world: SimulatedWorld, height: int) -> list[str]:
    block = await world.adapter.fetch_block(height)
    assert block is not None
    return [transaction.id for transaction in block.transactions]


@pytest.mark.parametrize("depth", [1, 2, 50])
async def test_transactions_of_dropped_blocks_are_mined_again(
    world: SimulatedWorld, depth: int
) -> None:
    recipient, id_ = await paid(world)
    height = await world.height()
    await world.mine(depth - 1)
    old = await world.adapter.fetch_block(height)
    world.chain.reorganise(depth)
    new = await world.adapter.fetch_block(height)
    assert old is not None
    assert new is not None
    assert (new.block_id != old.block_id, new.parent_id) == (True, old.parent_id)
    assert new.transactions == old.transactions
    assert await ids_at(world, height) == [id_]
    assert await world.balance(recipient, None, await world.height()) == 5


async def test_a_reorganisation_can_shorten_or_lengthen_the_chain(world: SimulatedWorld) -> None:
    await world.mine(9)
    world.chain.reorganise(5, length=2)
    assert await world.height() == 6
    world.chain.reorganise(1, length=4)
    assert await world.height() == 9


async def test_the_first_block_stays(world: SimulatedWorld) -> None:
    await world.mine(2)
    for depth in (0, 3):
        with pytest.raises(ValueError, match="first block"):
            world.chain.reorganise(depth)


async def test_mischief_happens_once_and_in_order(world: SimulatedWorld) -> None:
    await world.mine(3)
    honest = await world.adapter.fetch_block(2)
    world.adapter.order_mischief(
        [Mischief.UNAVAILABLE, Mischief.HEIGHT_BACK, Mischief.WRONG_PARENT]
    )
    with pytest.raises(NodeUnavailable):
        await world.adapter.fetch_block(2)
    assert await world.adapter.fetch_block(2) is None
    lie = await world.adapter.fetch_block(2)
    assert lie is not None
    assert honest is not None
    assert lie.parent_id != honest.parent_id
    assert await world.adapter.fetch_block(2) == honest


async def test_a_tip_that_goes_back_comes_forward_again(world: SimulatedWorld) -> None:
    await world.mine(3)
    world.adapter.order_mischief([Mischief.HEIGHT_BACK])
    tips = world.adapter.watch_tip()
    assert [(await anext(tips)).height for _ in range(2)] == [2, 3]
    await tips.aclose()


async def test_a_broadcast_with_a_lost_answer_was_done(world: SimulatedWorld) -> None:
    sender, recipient = world.new_address(), world.new_address()
    await world.fund(sender, 10**18)
    signed = await world.order(Payment(sender, recipient, None, 5))
    world.adapter.order_mischief([Mischief.ANSWER_LOST])
    with pytest.raises(NodeUnavailable):
        await world.adapter.broadcast(signed)
    await world.mine()
    assert await world.balance(recipient, None, await world.height()) == 5
    assert (await world.adapter.broadcast(signed)).outcome is BroadcastOutcome.ACCEPTED


async def test_forged_bytes_are_refused(world: SimulatedWorld) -> None:
    sender = world.new_address()
    await world.fund(sender, 10**18)
    signed = await world.order(Payment(sender, world.new_address(), None, 5))
    for raw in (b"", signed.raw[:40], signed.raw[:-1] + b" ", signed.raw.replace(b":5", b":6")):
        forged = type(signed)(signed.transaction_id, raw)
        assert (await world.adapter.broadcast(forged)).outcome is BroadcastOutcome.REFUSED


async def test_a_delay_holds_up_only_its_caller(world: SimulatedWorld) -> None:
    slow, quick = SimulatedAdapter(world.chain), SimulatedAdapter(world.chain)
    slow.delay_s = 60.0
    waiting = asyncio.create_task(slow.fetch_block(0))
    assert await quick.fetch_block(0) is not None
    assert not waiting.done()
    waiting.cancel()


async def test_adapters_of_one_network_see_the_same_chain() -> None:
    network = Network(network="sim:7", kind="simulated", rpc_urls=("memory",), native_asset="SIM")
    first, second = open_adapter(network), open_adapter(network)
    assert isinstance(first, SimulatedAdapter)
    first.chain.mine()
    assert await second.fetch_block(1) == await first.fetch_block(1) is not None


async def test_the_registry_opens_every_kind_for_its_network() -> None:
    network = Network(
        network="eip155:5",
        kind="ethereum",
        rpc_urls=("http://127.0.0.1:1",),
        native_asset="ETH",
    )
    adapter = open_adapter(network)
    assert (adapter.network, adapter.native_symbol) == ("eip155:5", "ETH")
    await adapter.close()
