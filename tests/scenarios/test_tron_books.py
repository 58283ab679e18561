"""TRON through the whole pipeline: equal orders are paid one by one, and the books agree."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator

import pytest

from chain_adapters.tron.adapter import clock_ms
from chain_adapters.tron.quoting import Moments
from devstack.chains.tron import TronNode
from sql.pool import Pool
from tests.support.chain_worlds.tron import TronWorld, open_tron_world
from tests.support.paying_nodes import PayingNodeWorld

TRX = 10**6


class Twins(Moments):
    """Gives the next quotes one time, as processes would that draw the same; then each its own."""

    same = 0
    _given: tuple[int, int] | None = None

    def take(self, head_ms: int) -> tuple[int, int]:
        drawn = super().take(head_ms)
        if not self.same:
            self._given = None
            return drawn
        self.same -= 1
        self._given = self._given or drawn
        return self._given


@pytest.fixture(scope="module")
def twins() -> Twins:
    return Twins(clock_ms, secrets.randbelow)


@pytest.fixture(scope="module")
async def node(tron_node: TronNode, twins: Twins) -> AsyncIterator[TronWorld]:
    opened = await open_tron_world(tron_node)
    opened.adapter._quoter._moments = twins
    yield opened
    await opened.close()


@pytest.fixture(scope="module")
async def world(pool: Pool, database_url: str, node: TronWorld) -> PayingNodeWorld:
    """A hot wallet and a user with TRX and tokens."""
    contract = await node.chain.issue_token("T")
    made = PayingNodeWorld(pool, database_url, node, node.chain, contract)
    await made.start()
    await made.pay_in(made.hot_wallet, 5000 * TRX, 10**6)
    await made.pay_in(await made.new_address(), 3000 * TRX, 10**5)
    await made.check_books()
    return made


@pytest.mark.parametrize("at_once", [True, False], ids=["in one batch", "one after the other"])
@pytest.mark.parametrize("asset", ["coin", "token"])
async def test_equal_orders_quoted_alike_are_all_paid(
    world: PayingNodeWorld, node: TronWorld, twins: Twins, asset: str, at_once: bool
) -> None:
    """Same wallet, recipient, amount, block referred to, time and expiration."""
    recipient, unit = node.new_address(), {"coin": world.coin, "token": world.token}[asset]
    contract = {"coin": None, "token": world.contract}[asset]
    shown = world.shown(recipient)
    orders = [world.command(f"{recipient}-{n}", 7, asset=unit, address=shown) for n in range(3)]
    twins.same = 3
    for batch in [orders] if at_once else [[order] for order in orders]:
        await world.request(*batch)
    await world.mine()
    assert await world.held(recipient, contract) == 7
    await world.finish(order["id"] for order in orders)
    assert await world.held(recipient, contract) == 21
    attempts = [a for order in orders for a in await world.attempts(order["id"])]
    assert len({a.transaction_id for a in attempts}) == len(attempts) == 3
    await world.check_books()
