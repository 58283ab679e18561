"""Withdrawals on a real Ethereum node: one payment despite lost answers, deaths and reorgs."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest

from chain_adapters.types import Broadcast, NodeUnavailable, SignedTransaction
from devstack.chains.anvil import Anvil
from settings.model import Network
from sql.pool import Pool
from tests.support.chain_worlds import AnvilWorld, open_anvil_world
from tests.support.mortal import Moment
from tests.support.withdrawals import AT_ONCE_S, CONFIRMATIONS, PayingWorld

FUNDS_MINOR = 10**18
ALICE_MINOR = 10**6
PAUSED = "0x60003560e01c6370a082311460145760006000fd5b600160ff1b60005260206000f3"
"""Code of a contract that tells a balance to whoever asks for one and reverts all else."""


class PayingAnvilWorld(PayingWorld):
    """A tenant that pays out on anvil, which mines when told to."""

    def __init__(self, pool: Pool, database_url: str, node: AnvilWorld) -> None:
        self.node = node
        network = Network(
            network=node.adapter.network,
            kind="ethereum",
            rpc_urls=("anvil",),
            native_asset="ETH",
            confirmations=CONFIRMATIONS,
            start_height=0,
            rebroadcast_after_s=AT_ONCE_S,
            replace_after_s=AT_ONCE_S,
        )
        super().__init__(pool, database_url, node.adapter, network, "ethereum")
        self.contract = ""

    async def start(self) -> None:
        """Also fund the hot wallet by real transfers, and alice in the ledger."""
        await super().start()
        accounts = await self.node.call("eth_accounts")
        funding = {"from": accounts[0], "to": self.hot_wallet, "value": hex(FUNDS_MINOR)}
        await self.node.call("eth_sendTransaction", funding)
        self.contract = await self.node.issue_token(self.hot_wallet, FUNDS_MINOR)
        async with self.pool.acquire() as conn:
            await conn.execute(
                "UPDATE assets SET contract = lower($2) WHERE asset = $1", self.token, self.contract
            )
        await self.pipeline.start()
        await self.credit("alice", self.coin, ALICE_MINOR)
        await self.credit("alice", self.token, ALICE_MINOR)
        await self.mine(CONFIRMATIONS)

    async def mine(self, count: int = 1) -> None:
        """Mine blocks one by one and follow each."""
        for _ in range(count):
            await self.node.mine()
            await self.follow()

    async def follow(self) -> None:
        """Read the chain to its tip and settle."""
        async with aclosing(self.node.adapter.watch_tip()) as tips:
            tip = await anext(tips)
        await self.follower.catch_up(tip)
        await self.settle()

    async def received(self, address: str, contract: str | None = None) -> int:
        """Return what an address holds on the chain now."""
        height = await self.node.height()
        return await self.node.balance(address, contract, height)

    async def finish(self, order_id: str) -> None:
        """Send again and mine until a withdrawal is settled."""
        for _ in range(10):
            await self.retry()
            await self.mine(CONFIRMATIONS)
            if (await self.withdrawal(order_id)).status == "confirmed":
                return
        raise AssertionError(await self.attempts(order_id))

    async def check_wallet(self) -> None:
        """Assert that the ledger knows the hot wallet's balance to the last wei."""
        assert await self.parked_facts() == 0
        held = await self.balance("hot_wallet", owner="")
        assert held == await self.received(self.hot_wallet)
        nonce = await self.node.call("eth_getTransactionCount", self.hot_wallet, "latest")
        assert int(nonce, 16) == await self.next_nonce()


@pytest.fixture(scope="module")
async def world(pool: Pool, database_url: str, anvil: Anvil) -> AsyncIterator[PayingAnvilWorld]:
    node = await open_anvil_world(anvil)
    made = PayingAnvilWorld(pool, database_url, node)
    await made.start()
    yield made
    await node.close()


@pytest.fixture
def order_id() -> str:
    return f"order-{secrets.token_hex(4)}"


async def test_coins_and_tokens_are_paid_and_the_gas_is_booked(world: PayingAnvilWorld) -> None:
    coins = world.command("coins", 700)
    tokens = world.command("tokens", 70, asset=world.token)
    await world.request(coins, tokens)
    await world.mine(CONFIRMATIONS)
    assert (await world.withdrawal("coins")).status == "confirmed"
    assert (await world.withdrawal("tokens")).status == "confirmed"
    assert await world.received(coins["address"]) == 700
    assert await world.received(tokens["address"], world.contract.lower()) == 70
    await world.check_wallet()


@pytest.mark.parametrize("depth", [1, 3, 16])
async def test_a_payment_whose_block_leaves_is_mined_again_and_paid_once(
    world: PayingAnvilWorld, order_id: str, depth: int
) -> None:
    command = world.command(order_id, 300)
    await world.request(command)
    await world.mine(max(depth, CONFIRMATIONS))
    assert (await world.withdrawal(order_id)).status == "confirmed"
    await world.node.reorganise(max(depth, CONFIRMATIONS))
    await world.mine()
    assert (await world.withdrawal(order_id)).status == "broadcast"
    await world.finish(order_id)
    assert (await world.withdrawal(order_id)).revision == 1
    assert await world.received(command["address"]) == 300
    await world.check_wallet()


async def test_a_stuck_payment_is_outbid_and_the_node_takes_the_new_one(
    world: PayingAnvilWorld, order_id: str
) -> None:
    command = world.command(order_id, 400)
    await world.request(command)
    await world.replace_due()
    await world.mine(CONFIRMATIONS)
    attempts = await world.attempts(order_id)
    assert [attempt.state for attempt in attempts] == ["superseded", "mined"]
    assert await world.received(command["address"]) == 400
    await world.check_wallet()


@pytest.mark.parametrize("paid_in", ["coin", "token"])
async def test_a_stuck_payment_that_would_be_undone_by_now_holds_up_no_other(
    world: PayingAnvilWorld, order_id: str, paid_in: str
) -> None:
    """Fees rise above its bid, and who is paid, or the token, reverts every payment."""
    tokens = paid_in == "token"
    command = world.command(order_id, 40, asset=world.token if tokens else world.coin)
    later = world.command(f"{order_id}-later", 41)
    await world.request(command, later)
    price = int(await world.node.call("eth_gasPrice"), 16)
    await world.node.call("anvil_setNextBlockBaseFeePerGas", hex(20 * price))
    await world.mine()
    place = world.contract if tokens else command["address"]
    code = await world.node.call("eth_getCode", place, "latest")
    await world.node.call("anvil_setCode", place, PAUSED)
    for _ in range(3):
        await world.replace_due()
        await world.mine(CONFIRMATIONS)
    await world.node.call("anvil_setCode", place, code)
    assert (await world.withdrawal(order_id)).status == "failed"
    assert (await world.withdrawal(f"{order_id}-later")).status == "confirmed"
    assert await world.received(command["address"], world.contract.lower() if tokens else None) == 0
    await world.check_wallet()


async def test_no_bid_is_raised_that_its_wallet_could_not_pay(
    world: PayingAnvilWorld, order_id: str
) -> None:
    """Nodes refuse such a one, and all that were made until money came would have cost the more."""
    command = world.command(order_id, 40, asset=world.token)
    await world.request(command)
    price = int(await world.node.call("eth_gasPrice"), 16)
    await world.node.call("anvil_setNextBlockBaseFeePerGas", hex(20 * price))
    await world.mine()
    code = await world.node.call("eth_getCode", world.contract, "latest")
    held = await world.node.call("eth_getBalance", world.hot_wallet, "latest")
    await world.node.call("anvil_setCode", world.contract, PAUSED)
    await world.node.call("anvil_setBalance", world.hot_wallet, hex(40_000 * 40 * price))
    assert [await world.tried(order_id) for _ in range(3)] == [1, 1, 1]
    await world.node.call("anvil_setBalance", world.hot_wallet, held)
    assert await world.tried(order_id) == 2
    await world.mine(CONFIRMATIONS)
    await world.node.call("anvil_setCode", world.contract, code)
    assert (await world.withdrawal(order_id)).status == "failed"
    await world.check_wallet()


@pytest.mark.parametrize("landed", [True, False])
@pytest.mark.parametrize("moment", Moment)
async def test_a_lost_answer_and_a_death_while_sending_pay_once(
    world: PayingAnvilWorld,
    monkeypatch: pytest.MonkeyPatch,
    order_id: str,
    moment: Moment,
    *,
    landed: bool,
) -> None:
    send = world.node.adapter.broadcast

    async def lose_answer(signed: SignedTransaction) -> Broadcast:
        if landed:
            await send(signed)
        raise NodeUnavailable("the answer was lost")

    command = world.command(order_id, 500)
    with monkeypatch.context() as patch:
        patch.setattr(world.node.adapter, "broadcast", lose_answer)
        world.deaths["broadcast_withdrawals"] = moment
        (order,) = await world.request(command)
    assert order.status == "signed"
    await world.finish(order_id)
    assert await world.received(command["address"]) == 500
    assert len(await world.attempts(order_id)) == 1
    await world.check_wallet()


async def waits_for(world: PayingAnvilWorld, order_id: str) -> str | None:
    """Return what an order waits for, as the signer noted it."""
    note = "SELECT waits_for FROM withdrawals WHERE tenant = $1 AND idempotency_key = $2"
    noted: str | None = await world.pool.fetchval(note, world.tenant, order_id)
    return noted


async def test_what_an_order_waits_for_is_noted_until_it_is_signed_and_paid(
    world: PayingAnvilWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A node that has no token yet, a fee that is too high, a wallet without money; then none."""
    code = await world.node.call("eth_getCode", world.contract, "latest")
    held = await world.node.call("eth_getBalance", world.hot_wallet, "latest")
    orders = [
        world.command("no-token", 30, asset=world.token),
        world.command("dear", 31),
        world.command("empty", 32),
    ]
    await world.node.call("anvil_setCode", world.contract, "0x")
    await world.request(orders[0])
    with monkeypatch.context() as patch:
        patch.setattr(world.node.adapter, "_fee_minor_max", 1)
        await world.request(orders[1])
        assert await waits_for(world, "dear") == "fee_above_cap"
    await world.node.call("anvil_setBalance", world.hot_wallet, "0x0")
    await world.request(orders[2])
    assert await waits_for(world, "no-token") == "token_missing"
    assert await waits_for(world, "empty") == "sender_lacks_funds"
    await world.node.call("anvil_setCode", world.contract, code)
    await world.node.call("anvil_setBalance", world.hot_wallet, held)
    for order in orders:
        await world.finish(order["id"])
        assert await waits_for(world, order["id"]) is None
    await world.check_wallet()
