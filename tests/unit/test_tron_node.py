"""Reading the simulated TRON node, and what it does when things go wrong."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import pytest

from chain_adapters.tron.adapter import TronAdapter
from chain_adapters.types import NodeUnavailable, Payment, Token, WrongNetwork
from devstack.chains.chain import NodeError
from devstack.chains.tron import TronNode
from devstack.chains.tron_node import make_address
from tests.support.chain_worlds.tron import TronWorld, open_tron_world
from tests.support.tron_node import read_newest, send


@pytest.fixture
async def world(tron_node: TronNode) -> AsyncIterator[TronWorld]:
    opened = await open_tron_world(tron_node)
    yield opened
    await opened.close()


@pytest.fixture
async def sender(world: TronWorld) -> str:
    address = world.new_address()
    await world.fund(address, world.funds_minor)
    return address


async def test_a_contract_that_reverts_when_asked_is_a_token_that_tells_nothing(
    world: TronWorld, sender: str
) -> None:
    await world.chain.pay_inner(sender, 1, failing=True)
    await world.mine()
    assert await world.adapter.fetch_token(make_address("pass on, failing")) == Token(None)


async def test_a_missing_receipt_means_wait(world: TronWorld, sender: str) -> None:
    await send(world, Payment(sender, world.new_address(), None, 5))
    height = await world.height()
    await world.chain.misbehave("infos")
    with pytest.raises(NodeUnavailable, match="not all there"):
        await world.adapter.fetch_block(height)
    block = await world.adapter.fetch_block(height)
    assert block is not None
    assert len(block.transactions) == 1


async def test_trx_paid_by_a_contract_is_a_transfer(world: TronWorld) -> None:
    recipient = world.new_address()
    await world.chain.pay_inner(recipient, 70)
    await world.chain.pay_inner(recipient, 90, failing=True)
    await world.mine()
    paid, failed = await read_newest(world)
    assert [(t.index, t.address, t.amount_minor) for t in paid.transfers][-1] == (
        *("call:0", recipient),
        70,
    )
    assert (failed.succeeded, failed.transfers) == (False, ())
    assert await world.balance(recipient, None, await world.height()) == 70


async def test_trc10_is_nothing(world: TronWorld) -> None:
    recipient = world.new_address()
    await world.chain.pay_trc10(recipient, 70)
    await world.mine()
    [transaction] = await read_newest(world)
    assert (transaction.succeeded, transaction.transfers) == (True, ())


async def test_solidified_blocks_are_final(world: TronWorld) -> None:
    await world.mine(25)
    height = await world.height()
    async with aclosing(world.adapter.watch_tip()) as tips:
        tip = await anext(tips)
    assert (tip.safe_height, tip.finalized_height) == (height - 18, height - 18)
    with pytest.raises(NodeError, match="solidified"):
        await world.reorganise(19)
    await world.reorganise(18)


async def test_balances_of_solidified_blocks_are_not_those_of_the_head(
    world: TronWorld, sender: str
) -> None:
    recipient = world.new_address()
    await send(world, Payment(sender, recipient, None, 5))
    await world.mine(18)
    assert await world.balance(recipient, None, await world.height() - 18) == 5


async def test_a_node_without_walletsolidity_tells_by_its_node_info(
    tmp_path: Path,
) -> None:
    with TronNode(tmp_path / "tron", solidity=False) as node:
        world = await open_tron_world(node)
        await world.mine(25)
        async with aclosing(world.adapter.watch_tip()) as tips:
            tip = await anext(tips)
        assert (tip.height, tip.finalized_height) == (25, 7)
        address = world.new_address()
        await world.fund(address, 10**9)
        assert await world.balance(address, None, 3) == 10**9
        await world.order(Payment(address, world.new_address(), None, 5))
        await world.close()


async def test_a_node_of_another_network_is_refused(tron_node: TronNode) -> None:
    adapter = TronAdapter("tron:0x2b6653dc", [tron_node.rpc_url])
    with pytest.raises(WrongNetwork, match=tron_node.network):
        await adapter.fetch_block(0)
    await adapter.close()


async def test_the_genesis_block_hands_out_money_without_transactions(world: TronWorld) -> None:
    block = await world.adapter.fetch_block(0)
    assert block is not None
    assert (block.height, block.clock, block.transactions) == (0, 0, ())


async def test_a_clock_is_the_parents_time_whatever_was_read_before(
    tron_node: TronNode, world: TronWorld
) -> None:
    await world.mine(3)
    height = await world.height()
    blocks = [await world.adapter.fetch_block(h) for h in (height - 1, height)]
    other = await open_tron_world(tron_node)
    alone = await other.adapter.fetch_block(height)
    await other.close()
    parent, block = blocks
    assert alone == block
    assert parent is not None
    assert block is not None
    assert block.clock // 1000 == parent.time


async def test_the_chain_is_there_again_after_a_kill(tmp_path: Path) -> None:
    node = TronNode(tmp_path / "tron")
    node.start()
    world = await open_tron_world(node)
    sender = world.new_address()
    await world.fund(sender, 10**9)
    token = await world.issue_token(sender, 100)
    await world.mine(3)
    await world.reorganise(2)
    height = await world.height()
    before = await world.adapter.fetch_block(height)
    await world.close()
    node.kill()
    node.start()
    again = await open_tron_world(node)
    assert await again.adapter.fetch_block(height) == before
    await again.chain.pay_token(token, sender, 11)
    await again.mine()
    assert await again.balance(sender, token, height + 1) == 111
    assert await again.balance(sender, None, height + 1) == 10**9
    await again.close()
    node.stop()
