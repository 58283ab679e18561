"""TON through the whole pipeline: whatever comes back or arrives late, books and chain agree."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import pytest
from pytoniq_core import begin_cell

from chain_adapters.ton import pay
from chain_adapters.types import Payment
from devstack.chains.ton import TonNode
from sql import addresses as addresses_sql
from sql.pool import Pool
from tests.support.chain_worlds.ton import TonWorld, open_ton_world
from tests.support.command_line import CommandLine
from tests.support.paying_nodes import PayingNodeWorld

TON = 10**9
THROWS = begin_cell().store_uint(0xFF00F22A, 32).end_cell()
"""SETCP0, THROW 42: a contract that refuses everything."""


@pytest.fixture(scope="module")
async def node(ton_node: TonNode) -> AsyncIterator[TonWorld]:
    opened = await open_ton_world(ton_node)
    yield opened
    await opened.close()


@pytest.fixture(scope="module")
async def world(pool: Pool, database_url: str, node: TonWorld) -> PayingNodeWorld:
    """A hot wallet and a user with coins and jettons."""
    contract = await node.chain.issue_token("T")
    node.open_adapter(contract)
    made = PayingNodeWorld(pool, database_url, node, node.chain, contract)
    await made.start()
    await made.pay_in(made.hot_wallet, 500 * TON, 10**6)
    await made.pay_in(await made.new_address(), 300 * TON, 10**5)
    await made.check_books()
    return made


@pytest.fixture(autouse=True, params=[1, 100], ids=["one hop a block", "all in a block"])
async def hops(request: pytest.FixtureRequest, node: TonWorld) -> None:
    """Messages take a block from account to account, or reach their end in one."""
    await node.chain.drive("hops", hops=request.param)


async def gains(world: PayingNodeWorld) -> int:
    """Return what the journal has of network costs below zero: all must be there."""
    async with world.pool.acquire() as conn:
        [[recorded, posted]] = await conn.fetch(
            "SELECT coalesce(sum(amount_minor), 0)::text, (SELECT coalesce(sum(l.amount_minor), 0)"
            " FROM journal_lines AS l INNER JOIN accounts AS a ON l.credit_account = a.account_id"
            " WHERE l.reference_type = 'cost' AND a.bucket = 'network_fees')::text"
            " FROM network_costs WHERE amount_minor < 0"
        )
    assert int(recorded) == -int(posted)
    return int(recorded)


async def test_coins_and_jettons_are_paid_and_what_comes_back_is_booked(
    world: PayingNodeWorld, node: TonWorld
) -> None:
    stranger = node.new_address()
    coins = await world.withdraw(world.coin, 3 * TON, stranger)
    jettons = await world.withdraw(world.token, 700, stranger)
    assert (coins.status, jettons.status) == ("confirmed", "confirmed")
    assert await world.held(stranger) == 3 * TON + 1, "a nanoton comes with the jettons"
    assert await world.held(stranger, world.contract) == 700
    assert await gains(world) < 0, "what the jettons did not need for gas came back"
    await world.check_books()


async def test_storage_that_falls_due_is_an_expense(world: PayingNodeWorld, node: TonWorld) -> None:
    """Time costs money, which is taken when something happens next; of an empty account later."""
    address = await world.new_address()
    await world.pay_in(address, 1, 50)
    for _ in range(2):
        await node.chain.drive("shift-clock", seconds=30 * 86_400)
        await world.pay_in(address, TON, 50)
        await world.pay_in(world.hot_wallet, TON)
        await world.withdraw(world.coin, TON, node.new_address())
        await world.check_books()


async def test_a_bounced_payment_fails_and_costs_what_was_lost_on_the_way(
    world: PayingNodeWorld, node: TonWorld
) -> None:
    alice = await world.balance("available")
    order = await world.withdraw(world.coin, 5 * TON, await node.deploy(THROWS))
    assert (order.status, order.reason) == ("failed", "failed_on_chain")
    assert await world.balance("available") == alice
    await world.check_books()


async def test_jettons_that_the_recipients_wallet_refuses_are_alices_again(
    world: PayingNodeWorld, node: TonWorld
) -> None:
    alice, stranger = await world.balance("available", world.token), node.new_address()
    await node.deploy(THROWS, await node.jetton_wallet(world.contract, stranger))
    order = await world.withdraw(world.token, 60, stranger)
    assert (order.status, order.reason) == ("failed", "failed_on_chain")
    assert await world.balance("available", world.token) == alice
    await world.check_books()


@pytest.mark.parametrize("attached_minor", [3_000_000, 1_000], ids=["throws", "never runs"])
async def test_jettons_whose_wallet_of_ours_lacks_gas_are_alices_again(
    world: PayingNodeWorld, node: TonWorld, monkeypatch: pytest.MonkeyPatch, attached_minor: int
) -> None:
    """With very little the wallet does not even run, and nothing bounces."""
    monkeypatch.setattr(pay, "JETTON_ATTACHED_MINOR", attached_minor)
    alice, stranger = await world.balance("available", world.token), node.new_address()
    order = await world.withdraw(world.token, 60, stranger)
    assert (order.status, order.reason) == ("failed", "failed_on_chain")
    assert await world.balance("available", world.token) == alice
    assert await world.held(stranger, world.contract) == 0
    await world.check_books()


async def test_what_our_addresses_pay_each_other_is_counted_once(world: PayingNodeWorld) -> None:
    """By hand, as a sweep would be: between deposit addresses, and to the hot wallet."""
    sender, recipient = await world.new_address(), await world.new_address("bob")
    await world.pay_in(sender, 20 * TON, 900)
    for to, contract, amount_minor in (
        (recipient, None, 3 * TON),
        (recipient, None, 3 * TON),
        (recipient, world.contract, 50),
        (world.hot_wallet, None, 2 * TON),
        (world.hot_wallet, world.contract, 20),
    ):
        await world.send_by_hand(Payment(sender, to, contract, amount_minor))
        await world.confirm()
        await world.check_books()


async def test_withdrawals_to_what_became_a_wallet_of_ours_are_counted_once(
    world: PayingNodeWorld, node: TonWorld
) -> None:
    """A cold wallet that was made known only when the order was on its way."""
    for asset, amount_minor in ((world.coin, 2 * TON), (world.token, 40)):
        wallet = node.new_address()
        order_id = await world.order(asset, amount_minor, wallet)
        await world.adopt(wallet)
        await world.confirm()
        assert (await world.withdrawal(order_id)).status == "confirmed"
        await world.check_books()


async def test_a_rescan_finds_jettons_that_were_missed(
    world: PayingNodeWorld, node: TonWorld, ton_node: TonNode, database_url: str
) -> None:
    forgotten = node.new_address()
    await world.pay_in(forgotten, TON, 70)
    async with world.pool.acquire() as conn, conn.transaction():
        await addresses_sql.lock_counter(conn, world.network)
        rows = [(forgotten, "alice", None, None)]
        await addresses_sql.add_addresses(conn, world.network, world.tenant, "deposit", rows)
        await addresses_sql.advance_counter(conn, world.network, 1)
    (network,) = world.context.settings.networks
    here = network.model_copy(update={"rpc_urls": (ton_node.rpc_url,)})
    coin = {"asset": world.coin, "network": world.network, "decimals": 9}
    token = coin | {"asset": world.token, "contract": world.contract}
    millrace = CommandLine(
        {
            "MILLRACE_CONFIG": "",
            "MILLRACE_DATABASE_URL": database_url,
            "MILLRACE_TOPIC_PREFIX": world.context.settings.topic_prefix,
            "MILLRACE_NETWORKS": f"[{here.model_dump_json()}]",
            "MILLRACE_ASSETS": json.dumps([coin, token]),
        }
    )
    found = await millrace.json("rescan", "--from", "1")
    jettons = [row["amount_minor"] for row in found["detected"] if row["asset"] == world.token]
    assert jettons == ["70"]
    await world.settle()
    await world.check_books()


async def test_the_books_agree_after_every_block_on_the_way(
    world: PayingNodeWorld, node: TonWorld
) -> None:
    bounces = await node.deploy(THROWS)
    for asset, amount_minor, address in (
        (world.coin, 2 * TON, bounces),
        (world.token, 40, node.new_address()),
    ):
        order_id = await world.order(asset, amount_minor, address)
        for _ in range(8):
            await world.mine()
            await world.check_books()
        assert (await world.withdrawal(order_id)).status in ("confirmed", "failed")
