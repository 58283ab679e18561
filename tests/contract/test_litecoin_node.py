"""Litecoin's extension block (MWEB) on a real node: blocks are read behind its start, and what is
paid out of it is known as what nobody can spend yet."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from chain_adapters.types import Coin, Payment, Transfer
from devstack.chains.bitcoin import LitecoinNode
from tests.support.chain_worlds.bitcoin import CoreWorld, open_core_world
from tests.support.nodes import require_node

START = 432
"""The first block with an extension block in regtest: made only if money goes in with it."""
ONE = 10**8


class ExtensionNode(LitecoinNode):
    """The node by all of its rules."""

    def _prepare(self) -> None:
        super()._prepare()
        config = self.data_dir / "litecoin.conf"
        lines = config.read_text().splitlines(keepends=True)
        config.write_text("".join(line for line in lines if not line.startswith("vbparams")))


@pytest.fixture(scope="module")
def extension_node(servers_dir: Path) -> Iterator[ExtensionNode]:
    require_node("litecoin")
    with ExtensionNode(servers_dir / f"extension-{secrets.token_hex(6)}") as node:
        yield node


@pytest.fixture
async def world(extension_node: ExtensionNode) -> AsyncIterator[CoreWorld]:
    opened = await open_core_world(extension_node)
    if (height := await opened.height()) < START:
        await opened.mine(START - 1 - height)
        await pay_in(opened)
        await opened.mine()
    yield opened
    await opened.close()


async def send(world: CoreWorld, address: str, amount: int) -> None:
    """Let the wallet pay whole coins, and mine."""
    id_ = await world.chain.call("sendtoaddress", address, str(amount))
    found = await world.chain.call("gettransaction", id_)
    await world.chain.call("sendrawtransaction", found["hex"])
    await world.mine()


async def pay_in(world: CoreWorld) -> None:
    """Fill the extension block."""
    await send(world, await world.chain.call("getnewaddress", "", "mweb"), 100)


async def pay_out(world: CoreWorld, address: str) -> Transfer:
    """Pay 3 coins out of the extension block, and return what is read of it."""
    held = await world.chain.call("listunspent")
    outside = [{"txid": coin["txid"], "vout": coin["vout"]} for coin in held if "vout" in coin]
    await world.chain.call("lockunspent", False, outside)
    await send(world, address, 3)
    await world.chain.call("lockunspent", True)
    block = await world.adapter.fetch_block(await world.height())
    assert block is not None
    (found,) = [t for made in block.transactions for t in made.transfers if t.address == address]
    return found


async def test_what_is_paid_out_of_the_extension_block_is_spent_after_6_blocks_and_not_before(
    world: CoreWorld,
) -> None:
    recipient = world.new_address()
    paid = await pay_out(world, recipient)
    assert (paid.amount_minor, paid.depth_min) == (3 * ONE, 6)
    (coin,) = await world.coins(recipient)
    payment = Payment(recipient, world.new_address(), None, ONE)
    signed = world.sign(
        world.adapter.build(
            payment, await world.adapter.quote(payment), None, coins=[Coin(coin.id, 3 * ONE)]
        )
    )
    refused = []
    for depth in range(1, paid.depth_min + 1):
        answer = await world.adapter.broadcast(signed)
        refused.append(answer.outcome.value)
        assert ("premature-spend" in answer.detail) == (depth < paid.depth_min)
        await world.mine()
    assert refused == ["refused"] * (paid.depth_min - 1) + ["accepted"]


async def test_every_block_behind_the_start_of_the_extension_block_is_read(
    world: CoreWorld,
) -> None:
    height = await world.height()
    assert height > START
    for number in range(START, height + 1):
        block = await world.adapter.fetch_block(number)
        assert block is not None
        assert block.transactions[-1].fee_minor is not None, "what it held before was not found"
