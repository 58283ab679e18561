"""Withdrawals on Solana: never two payments, whatever its nodes lose, forget or get wrong.

There is no nonce here, so nothing but a transaction's expiry keeps it from landing beside the next.
"""

from __future__ import annotations

import base64
import secrets
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import pytest
from solders.transaction import Transaction

from agents.by_operator.rescan_blocks import RescanBlocks
from chain_adapters.solana.adapter import SolanaAdapter
from chain_adapters.solana.programs import BLOCKHASH_BLOCKS, EXPIRY_MARGIN_BLOCKS
from devstack.chains.solana import RENT_EXEMPT_MINOR, SolanaChain, SolanaNode
from settings.model import Network
from sql.pool import Pool
from tests.support.solana_gateway import Mangle, SolanaGateway
from tests.support.withdrawals import AT_ONCE_S, CONFIRMATIONS, PayingWorld

LIFETIME = BLOCKHASH_BLOCKS + EXPIRY_MARGIN_BLOCKS
AMOUNT_MINOR = 400
UNKNOWN_BLOCKHASH = {
    "error": {
        "code": -32002,
        "message": "Transaction simulation failed: Blockhash not found",
        "data": {"err": "BlockhashNotFound", "logs": []},
    }
}


class PayingSolanaWorld(PayingWorld):
    """A tenant that pays out through a gateway, on a node that mines when told to."""

    def __init__(
        self, pool: Pool, database_url: str, node: SolanaNode, chain: SolanaChain, url: str
    ) -> None:
        self.chain = chain
        network = Network(
            network=node.network,
            kind="solana",
            rpc_urls=(url,),
            native_asset="SOL",
            confirmations=CONFIRMATIONS,
            rebroadcast_after_s=AT_ONCE_S,
            replace_after_s=AT_ONCE_S,
        )
        adapter = SolanaAdapter(node.network, [url], poll_interval_s=0.02)
        super().__init__(pool, database_url, adapter, network, "solana")

    async def start(self) -> None:
        """Also fund the hot wallet by a real transfer, and alice in the ledger."""
        await super().start()
        await self.follow()
        await self.chain.pay(self.hot_wallet, 10**9)
        await self.credit("alice", self.coin, 10**6)
        await self.mine(CONFIRMATIONS)

    async def mine(self, count: int = 1) -> None:
        """Mine blocks and follow them."""
        await self.chain.mine(count)
        await self.follow()

    async def follow(self) -> None:
        """Read the chain to its tip and settle."""
        async with aclosing(self.adapter.watch_tip()) as tips:
            tip = await anext(tips)
        await self.follower.catch_up(tip)
        await self.settle()

    async def order(self) -> str:
        """Order a payment to a fresh address that exists already; return the order's id."""
        order_id, address = f"order-{secrets.token_hex(4)}", await self.chain.new_recipient()
        await self.chain.pay(address, RENT_EXEMPT_MINOR)
        await self.mine()
        await self.request(self.command(order_id, AMOUNT_MINOR, address=address))
        return order_id

    async def received(self, order_id: str) -> int:
        """Return what an order's address was paid, on the chain now."""
        address = (await self.withdrawal(order_id)).address
        return await self.chain.balance(address) - RENT_EXEMPT_MINOR

    async def rescan(self, start: int, end: int) -> None:
        """Read blocks again, as `millrace rescan` does."""
        stage = RescanBlocks(self.context, self.adapter)
        await stage.start()
        await stage.rescan(start, end, lambda _: None)
        await self.settle()

    async def finish(self, order_id: str) -> None:
        """Send again and mine until a withdrawal is settled, then see that it was paid once."""
        for _ in range(5):
            await self.retry()
            await self.mine(CONFIRMATIONS + 1)
            if (await self.withdrawal(order_id)).status == "confirmed":
                break
        assert (await self.withdrawal(order_id)).status == "confirmed"
        assert await self.received(order_id) == AMOUNT_MINOR
        assert await self.parked_facts() == 0


@pytest.fixture(scope="module")
async def gateway(solana_node: SolanaNode) -> AsyncIterator[SolanaGateway]:
    async with SolanaGateway(solana_node.rpc_url).running() as opened:
        yield opened


@pytest.fixture(scope="module")
async def paying(
    pool: Pool, database_url: str, solana_node: SolanaNode, gateway: SolanaGateway
) -> AsyncIterator[PayingSolanaWorld]:
    async with solana_node.open_chain() as chain:
        assert isinstance(chain, SolanaChain)
        made = PayingSolanaWorld(pool, database_url, solana_node, chain, gateway.url)
        await made.start()
        yield made
        await made.adapter.close()


@pytest.fixture
async def world(
    paying: PayingSolanaWorld, gateway: SolanaGateway
) -> AsyncIterator[PayingSolanaWorld]:
    yield paying
    gateway.behave()


def swallow(params: list[Any]) -> dict[str, Any]:
    """Say that a transaction was taken, and lose it on the way to a leader."""
    return {"result": str(Transaction.from_bytes(base64.b64decode(params[0])).signatures[0])}


def lag(_: list[Any]) -> dict[str, Any]:
    """Say what a node says that has not seen the blockhash yet."""
    return UNKNOWN_BLOCKHASH


def leave_out(block: dict[str, Any]) -> None:
    """Tell a block without its transactions."""
    block["transactions"] = []


def garble(block: dict[str, Any]) -> None:
    """Tell a block's transactions in a form that nobody reads."""
    told = block.get("transactions", [])
    block["transactions"] = [{"transaction": ["AQ==", "base64"]} for _ in told]


def hurry(block: dict[str, Any]) -> None:
    """Tell heights that are far too high, as a node does that counts in slots."""
    block["blockHeight"] += 10 * LIFETIME


async def test_a_payment_is_made_once_and_its_fee_is_booked(world: PayingSolanaWorld) -> None:
    await world.finish(await world.order())
    address = world.hot_wallet
    assert await world.balance("hot_wallet", owner="") == await world.chain.balance(address)


async def test_what_no_leader_saw_is_paid_once_after_its_expiry_and_not_before(
    world: PayingSolanaWorld, gateway: SolanaGateway
) -> None:
    gateway.instead["sendTransaction"] = swallow
    order_id = await world.order()
    assert (await world.withdrawal(order_id)).status == "broadcast"
    gateway.instead["sendTransaction"] = lag
    for blocks in (1, LIFETIME // 2):
        await world.mine(blocks)
        assert await world.tried(order_id) == 1
    await world.mine(LIFETIME // 2 + CONFIRMATIONS + 4)
    assert await world.tried(order_id) == 2
    gateway.behave()
    await world.finish(order_id)


@pytest.mark.parametrize("mangle", [leave_out, garble])
async def test_what_landed_in_a_block_that_was_read_wrongly_is_not_paid_again(
    world: PayingSolanaWorld, gateway: SolanaGateway, mangle: Mangle
) -> None:
    order_id, start = await world.order(), await world.chain.height() + 1
    gateway.mangle["getBlock"] = mangle
    await world.mine(2)
    gateway.behave()
    end = await world.chain.height()
    await world.mine(LIFETIME + CONFIRMATIONS + 4)
    assert await world.tried(order_id) == 1
    assert await world.received(order_id) == AMOUNT_MINOR
    await world.rescan(start, end)
    await world.mine()
    assert (await world.withdrawal(order_id)).status == "confirmed"


async def test_blocks_that_tell_too_great_a_height_do_not_make_us_pay_again(
    world: PayingSolanaWorld, gateway: SolanaGateway
) -> None:
    held: list[Any] = []

    def hold(params: list[Any]) -> dict[str, Any]:
        held.append(params)
        return swallow(params)

    gateway.instead["sendTransaction"] = hold
    order_id = await world.order()
    gateway.mangle["getBlock"] = hurry
    await world.mine(CONFIRMATIONS + 4)
    assert await world.tried(order_id) == 1
    gateway.behave()
    await world.chain.call("sendTransaction", *held[0])
    await world.finish(order_id)
    assert await world.tried(order_id) == 1


async def test_a_payment_that_a_lagging_node_did_not_understand_is_sent_again_as_it_is(
    world: PayingSolanaWorld, gateway: SolanaGateway
) -> None:
    gateway.instead["sendTransaction"] = lag
    order_id = await world.order()
    assert (await world.withdrawal(order_id)).status == "signed"
    await world.mine(3)
    assert await world.tried(order_id) == 1
    gateway.behave()
    await world.finish(order_id)
    assert len(await world.attempts(order_id)) == 1


async def test_nothing_is_paid_again_while_we_were_away_and_have_not_caught_up(
    world: PayingSolanaWorld,
) -> None:
    order_id = await world.order()
    await world.chain.mine(3 * LIFETIME)
    assert await world.tried(order_id) == 1
    await world.finish(order_id)
    assert len(await world.attempts(order_id)) == 1


async def test_a_node_without_history_does_not_let_us_pay_again(
    world: PayingSolanaWorld, gateway: SolanaGateway
) -> None:
    gateway.instead["sendTransaction"] = swallow
    order_id = await world.order()
    fault = {"code": -32011, "message": "Transaction history is not available from this node"}
    gateway.instead["sendTransaction"] = lag
    gateway.instead["getSignatureStatuses"] = lambda _: {"error": fault}
    await world.mine(LIFETIME + CONFIRMATIONS + 4)
    assert await world.tried(order_id) == 1
    gateway.behave()
    assert await world.tried(order_id) == 2
    await world.finish(order_id)
