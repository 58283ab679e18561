"""Withdrawals on TRON: never two payments, whatever its nodes lose, forget or get wrong.

There is no nonce here, so nothing but a transaction's expiry keeps it from landing beside the next.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from hashlib import sha256
from typing import Any

import pytest

from chain_adapters.tron.quoting import JITTER_MS, LIFETIME_MS
from devstack.chains.tron import TronNode
from devstack.chains.tron_chain import BLOCK_MS, SOLID_DEPTH
from devstack.chains.tron_protobuf import read_transaction
from metrics.catalogue import REGISTRY
from sql import wallets as wallets_sql
from sql.pool import Pool
from tests.support.chain_worlds.tron import open_tron_world
from tests.support.forgotten import pay_before, start_signer, stop_signer
from tests.support.paying_nodes import PayingNodeWorld
from tests.support.tron_gateway import TronGateway
from tests.support.withdrawals import CONFIRMATIONS

TRX = 10**6
AMOUNT_MINOR = 400
EXPIRED = (LIFETIME_MS + JITTER_MS) // BLOCK_MS + SOLID_DEPTH + CONFIRMATIONS + 3
"""Blocks after which a transaction has expired, and all know it."""
SEND, BLOCK, INFOS = (
    f"wallet/{name}" for name in ("broadcasthex", "getblockbynum", "gettransactioninfobyblocknum")
)


@pytest.fixture(scope="module")
async def gateway(tron_node: TronNode) -> AsyncIterator[TronGateway]:
    async with TronGateway(tron_node.rpc_url).running() as opened:
        yield opened


@pytest.fixture(scope="module")
async def paying(
    pool: Pool, database_url: str, tron_node: TronNode, gateway: TronGateway
) -> AsyncIterator[PayingNodeWorld]:
    node = await open_tron_world(tron_node, rpc_url=gateway.url)
    made = PayingNodeWorld(pool, database_url, node, node.chain, await node.chain.issue_token("T"))
    await made.start()
    await made.pay_in(made.hot_wallet, 5000 * TRX)
    await made.pay_in(await made.new_address(), 3000 * TRX)
    yield made
    await node.close()


@pytest.fixture
def world(paying: PayingNodeWorld, gateway: TronGateway) -> Iterator[PayingNodeWorld]:
    yield paying
    gateway.behave()


class Swallower:
    """Says that it took a transaction, and keeps it: a node that loses it, or one that lags."""

    def __init__(self, gateway: TronGateway) -> None:
        self.taken: list[str] = []
        gateway.instead[SEND] = self._take

    def _take(self, body: dict[str, Any]) -> dict[str, Any]:
        self.taken.append(body["transaction"])
        signed = read_transaction(bytes.fromhex(body["transaction"]))
        return {"result": True, "code": "SUCCESS", "txid": signed.id}


async def order(world: PayingNodeWorld) -> tuple[str, str]:
    """Order a payment to a fresh address; return the order's id and the address."""
    address = world.node.new_address()
    await world.chain.pay(address, TRX)
    await world.mine()
    return await world.order(world.coin, AMOUNT_MINOR, address), address


async def wait(world: PayingNodeWorld, blocks: int) -> None:
    """Let blocks pass, and follow them."""
    await world.chain.mine(blocks)
    await world.follow()


def doubts(world: PayingNodeWorld) -> float:
    """Return how often nodes spoke against an expiry."""
    told = {"network": world.network}
    return REGISTRY.get_sample_value("millrace_withdrawal_doubts_total", told) or 0


async def test_what_no_node_kept_is_paid_once_after_its_expiry_and_not_before(
    world: PayingNodeWorld, gateway: TronGateway
) -> None:
    Swallower(gateway)
    order_id, address = await order(world)
    gateway.behave()
    await wait(world, EXPIRED // 2)
    assert await world.tried(order_id) == 1
    await wait(world, EXPIRED // 2 + 1)
    assert await world.tried(order_id) == 2
    await world.finish([order_id])
    assert await world.held(address) == TRX + AMOUNT_MINOR


async def test_an_expired_payment_is_not_made_again_while_a_node_would_take_the_old_one(
    world: PayingNodeWorld, gateway: TronGateway
) -> None:
    lagging = Swallower(gateway)
    order_id, address = await order(world)
    before = doubts(world)
    await wait(world, EXPIRED)
    for _ in range(2):
        assert await world.tried(order_id) == 1
    assert len(set(lagging.taken)) == 1
    assert doubts(world) == before + 2
    gateway.behave()
    assert await world.tried(order_id) == 2
    await world.finish([order_id])
    assert await world.held(address) == TRX + AMOUNT_MINOR
    assert len(await world.attempts(order_id)) == 2


async def test_what_landed_in_a_block_that_was_read_without_it_is_not_paid_again(
    world: PayingNodeWorld, gateway: TronGateway
) -> None:
    order_id, address = await order(world)
    disguise = Disguise()
    gateway.mangle |= {BLOCK: disguise.block, INFOS: disguise.infos}
    await world.mine(2)
    gateway.behave()
    await wait(world, EXPIRED)
    before = doubts(world)
    assert await world.tried(order_id) == 1
    assert doubts(world) == before + 1
    assert (await world.withdrawal(order_id)).status == "broadcast"
    assert await world.held(address) == TRX + AMOUNT_MINOR
    later, _ = await order(world)
    assert (await world.withdrawal(later)).status == "approved"
    assert "is not ours" in await resume_halted(world), "as such a block tells of the wallet"


class Disguise:
    """Tells of other transactions than those of a block, which nothing in the answers shows."""

    def __init__(self) -> None:
        self._ids: dict[str, str] = {}

    def block(self, told: dict[str, Any]) -> dict[str, Any]:
        return told | {"transactions": [self._other(one) for one in told.get("transactions", [])]}

    def infos(self, told: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [info | {"id": self._ids[info["id"]]} for info in told]

    def _other(self, transaction: dict[str, Any]) -> dict[str, Any]:
        data = transaction["raw_data_hex"] + "00"
        id_ = sha256(bytes.fromhex(data)).hexdigest()
        self._ids[transaction["txID"]] = id_
        return transaction | {"raw_data_hex": data, "txID": id_}


async def test_a_chain_without_nonces_counts_none(world: PayingNodeWorld) -> None:
    await world.finish([(await order(world))[0]])
    async with world.pool.acquire() as conn:
        (wallet,) = await wallets_sql.list_wallets(conn, world.tenant)
    assert wallet.next_nonce is None


async def test_a_payment_that_was_forgotten_is_not_made_again(
    world: PayingNodeWorld,
) -> None:
    stop_signer(world)
    order_id, address = await order(world)
    transaction_id = await pay_before(world, await world.withdrawal(order_id))
    await world.mine(SOLID_DEPTH)
    await start_signer(world)
    await world.retry()
    await world.mine(SOLID_DEPTH)
    assert await world.held(address) == TRX + AMOUNT_MINOR
    assert transaction_id in await resume_halted(world)


async def resume_halted(world: PayingNodeWorld) -> str:
    """Let a halted wallet sign again; return why it was halted."""
    async with world.pool.acquire() as conn:
        (wallet,) = await wallets_sql.list_wallets(conn, world.tenant)
        assert await wallets_sql.resume_wallet(conn, world.network, world.tenant)
    return str(wallet.halted_reason)
