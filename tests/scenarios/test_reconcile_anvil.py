"""Reconciliation against a real node: native money and a token, at a block in the past."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest
from pydantic import SecretStr

from agents.confirm_deposits import ConfirmDeposits
from agents.match_deposits import MatchDeposits
from agents.parts.reconcile_figures import Report
from agents.post_ledger import PostLedger
from agents.reconcile_chain import Patience, reconcile_network
from agents.runtime.context import Context
from agents.runtime.publisher import Publisher
from chain_adapters.types import Payment
from devstack.chains.anvil import Anvil
from settings.model import Network, Settings
from sql import addresses as addresses_sql
from sql.pool import Pool
from tests.support.chain_worlds import AnvilWorld, open_anvil_world
from tests.support.pipeline import Pipeline

TENANT = "acme"
CUSTOMER_MINOR = 10**20
"""More wei than 64 bits hold."""


class Stack:
    """A tenant on a real node, and the stages that watch it."""

    def __init__(self, pool: Pool, database_url: str, world: AnvilWorld) -> None:
        self.pool = pool
        self.world = world
        self.adapter = world.adapter
        self.network = world.adapter.network
        settings = Settings(
            database_url=SecretStr(database_url),
            topic_prefix=f"{secrets.token_hex(4)}.",
            networks=(
                Network(
                    network=self.network,
                    kind="ethereum",
                    rpc_urls=("http://unused",),
                    native_asset="ETH",
                    confirmations=1,
                    start_height=0,
                ),
            ),
        )
        context = Context(settings, pool, {self.network: self.adapter}, Publisher(settings))
        self.pipeline = Pipeline(
            context, [MatchDeposits(context), ConfirmDeposits(context), PostLedger(context)]
        )

    async def start(self) -> None:
        self.customer = self.world.new_address()
        self.token = await self.world.issue_token(self.customer, 5_000)
        await self.world.fund(self.customer, CUSTOMER_MINOR)
        async with self.pool.acquire() as conn:
            await conn.execute("INSERT INTO tenants (tenant, name) VALUES ($1, $1)", TENANT)
            await conn.execute("INSERT INTO users VALUES ($1, 'alice')", TENANT)
            await conn.execute(
                "INSERT INTO networks VALUES ($1, 'ethereum', 'ETH', 1)", self.network
            )
            await conn.execute(
                "INSERT INTO assets (asset, network, contract, decimals)"
                " VALUES ('ETH', $1, NULL, 18), ('TOK', $1, $2, 18)",
                self.network,
                self.token,
            )
        await self.pipeline.start()
        self.follower = await self.pipeline.follower(self.network)

    async def watch(self) -> str:
        address = self.world.new_address()
        async with self.pool.acquire() as conn, conn.transaction():
            await addresses_sql.lock_counter(conn, self.network)
            await addresses_sql.add_addresses(
                conn, self.network, TENANT, "deposit", [(address, "alice", None, None)]
            )
            await addresses_sql.advance_counter(conn, self.network, 1)
        return address

    async def pay(self, address: str, contract: str | None, amount_minor: int) -> None:
        payment = Payment(self.customer, address, contract, amount_minor)
        await self.adapter.broadcast(await self.world.order(payment))
        await self.world.mine()

    async def follow(self) -> None:
        async with aclosing(self.adapter.watch_tip()) as tips:
            await self.follower.catch_up(await anext(tips))
        await self.pipeline.settle()

    async def reconcile(self) -> Report:
        return await reconcile_network(
            self.pool, self.adapter, topic_prefix="x.", patience=Patience(pause_s=0)
        )


@pytest.fixture
async def stack(pool: Pool, database_url: str, anvil: Anvil) -> AsyncIterator[Stack]:
    world = await open_anvil_world(anvil)
    made = Stack(pool, database_url, world)
    await made.start()
    yield made
    await world.close()


async def test_a_real_chain_reconciles_and_a_balance_set_past_it_is_found(stack: Stack) -> None:
    address, idle = await stack.watch(), await stack.watch()
    await stack.pay(address, None, CUSTOMER_MINOR // 2)
    await stack.pay(address, stack.token, 700)
    await stack.follow()
    # What is mined after the compared block does not count.
    await stack.pay(address, stack.token, 50)
    report = await stack.reconcile()
    assert report.clean
    assert {wallet.asset: wallet.ledger_minor for wallet in report.wallets} == {
        "ETH": CUSTOMER_MINOR // 2,
        "TOK": 700,
    }
    await stack.world.call("anvil_setBalance", idle, hex(9))
    await stack.world.mine()
    await stack.follow()
    (found,) = (await stack.reconcile()).differences
    assert (found.account, found.asset, found.expected_minor, found.actual_minor) == (
        idle,
        "ETH",
        0,
        9,
    )
