"""An order's recipient is kept in its chain's one form, however the producer spelt it."""

from __future__ import annotations

import json
import secrets
from collections.abc import AsyncIterator, Sequence

import pytest
from stellar_sdk import MuxedAccount

from chain_adapters.ethereum.address import show_address as show_ethereum
from chain_adapters.ton.address import show_address as show_ton
from custody.addresses import assign_addresses
from custody.signer import Signer
from settings.model import Network
from sql.pool import Pool
from sql.withdrawals import Withdrawal
from tests.oracles.chains import CHAINS, open_chain
from tests.support.command_line import CommandLine
from tests.support.forgotten import adopt, pay_before, start_signer, stop_signer
from tests.support.withdrawals import CONFIRMATIONS, PayingWorld, SimulatedWorld
from topics.event_data import RejectedWithdrawal
from topics.event_data import Withdrawal as WithdrawalData

ONE_SPELLING = ("dogecoin", "solana")
"""Chains on which every character of an address counts: only what is around it may differ."""
TOKENS_AT_ADDRESSES = ("ethereum", "solana", "ton", "tron")


@pytest.fixture(scope="module", params=sorted(CHAINS))
async def world(
    request: pytest.FixtureRequest, pool: Pool, database_url: str
) -> AsyncIterator[PayingWorld]:
    """A tenant on a main network whose orders are judged, and no more: no node is there."""
    kind: str = request.param
    adapter = open_chain(kind)
    network = Network.model_validate(
        {
            "network": CHAINS[kind].network,
            "kind": kind,
            "rpc_urls": ["http://127.0.0.1:9"],
            "native_asset": f"COIN-{secrets.token_hex(4)}",
        }
    )
    made = PayingWorld(pool, database_url, adapter, network, kind)
    await made.start()
    await made.credit("alice", made.coin, 10**6)
    made.pipeline.runners = [
        runner for runner in made.pipeline.runners if runner.stage.name == "check_withdrawals"
    ]
    yield made
    await adapter.close()


@pytest.fixture
def millrace(world: PayingWorld, database_url: str) -> CommandLine:
    networks = [network.model_dump(mode="json") for network in world.context.settings.networks]
    return CommandLine(
        {
            "MILLRACE_CONFIG": "",
            "MILLRACE_DATABASE_URL": database_url,
            "MILLRACE_NETWORKS": json.dumps(networks),
        }
    )


def somebody(world: PayingWorld) -> str:
    """Return the address of a key that is not ours, in the chain's one form."""
    path = world.adapter.key_path(0, 0)
    stranger = Signer(secrets.token_bytes(64), secrets.token_bytes(32))
    return world.adapter.derive_address(stranger.public_key(path, world.adapter.key_scheme), path)


def spellings(world: PayingWorld, address: str) -> list[str]:
    """Return the ways to write an address on its chain; the first is the one that is kept."""
    shown = world.adapter.show_address(address)
    ways = [address, shown, f" {shown}\n"]
    match world.kind:
        case "ethereum":
            ways.append("0x" + address[2:].upper())
        case "bitcoin" | "litecoin" | "tron":
            ways.append(address.upper())
        case "ton":
            ways += [address.upper(), show_ton(address, bounceable=True)]
            ways += [way.replace("-", "+").replace("_", "/") for way in ways]
        case "stellar":
            ways.append(MuxedAccount(address, 7).universal_account_id)
    assert (len({way.strip() for way in ways}) > 1) is (world.kind not in ONE_SPELLING)
    return ways


async def order_to(world: PayingWorld, addresses: Sequence[str]) -> list[Withdrawal]:
    """Order a payment to each address, one after the other: what is read of one helps no other."""
    orders: list[Withdrawal] = []
    for address in addresses:
        orders += await world.request(world.command(secrets.token_hex(8), address=address))
    return orders


def told_of(world: PayingWorld, orders: Sequence[Withdrawal]) -> list[tuple[str, str | None]]:
    """Return order and recipient of every event that tells of one of these orders."""
    ids = {order.idempotency_key for order in orders}
    return [
        (event.data.idempotency_key or "", event.data.address)
        for event in world.events()
        if isinstance(event.data, WithdrawalData | RejectedWithdrawal)
        and event.data.idempotency_key in ids
    ]


async def test_a_recipient_is_kept_and_told_in_one_form_and_shown_as_people_paste_it(
    world: PayingWorld, millrace: CommandLine
) -> None:
    address = somebody(world)
    orders = await order_to(world, spellings(world, address))
    assert [(order.status, order.address) for order in orders] == [("approved", address)] * len(
        orders
    )
    told = told_of(world, orders)
    ids = [order.idempotency_key for order in orders]
    assert sorted(told) == sorted((id_, address) for id_ in ids for _ in ("requested", "approved"))
    of_tenant = ("--tenant", world.tenant)
    listed = await millrace.json("withdraw", "list", *of_tenant)
    shown = {row["id"]: row["address"] for row in listed if row["id"] in ids}
    assert shown == dict.fromkeys(ids, world.adapter.show_address(address))
    status = await millrace.json("withdraw", "status", ids[-1], *of_tenant)
    assert status["address"] == world.adapter.show_address(address)


async def test_an_address_of_ours_is_no_recipient_in_any_spelling(world: PayingWorld) -> None:
    async with world.pool.acquire() as conn, conn.transaction():
        [given] = await assign_addresses(
            conn, world.adapter, world.network, world.tenant, ["alice"]
        )
    for address in (world.hot_wallet, given.address):
        orders = await order_to(world, spellings(world, address))
        expected = ("rejected", "own_address", address)
        assert [(one.status, one.reason, one.address) for one in orders] == [expected] * len(orders)
        told = told_of(world, orders)
        assert told == [(order.idempotency_key, address) for order in orders]


@pytest.mark.parametrize("world", TOKENS_AT_ADDRESSES, indirect=True)
async def test_a_tokens_contract_is_no_recipient_in_any_spelling(world: PayingWorld) -> None:
    address = somebody(world)
    await world.pool.execute(
        "UPDATE assets SET contract = $2 WHERE asset = $1",
        world.token,
        world.adapter.parse_contract(address),
    )
    orders = await order_to(world, spellings(world, address))
    expected = ("rejected", "token_address", address)
    assert [(one.status, one.reason, one.address) for one in orders] == [expected] * len(orders)


async def test_the_same_recipient_in_another_spelling_is_another_order(world: PayingWorld) -> None:
    first, *others = spellings(world, somebody(world))
    command = world.command(secrets.token_hex(8), address=first)
    (order,) = await world.request(command)
    different = [other for other in others if other != first]
    before = len(world.rejections())
    await world.request(*(command | {"address": other} for other in different))
    refused = world.rejections()[before:]
    assert refused == [(command["id"], "idempotency_conflict")] * len(different)
    assert await world.withdrawal(command["id"]) == order


@pytest.fixture
async def simulated(pool: Pool, database_url: str) -> SimulatedWorld:
    made = SimulatedWorld(pool, database_url)
    await made.start()
    return made


async def test_who_is_spelt_otherwise_is_paid_and_that_is_seen(simulated: SimulatedWorld) -> None:
    address = "0x" + secrets.token_hex(20)
    (order,) = await simulated.request(simulated.command("w", address=show_ethereum(address)))
    assert order.status == "broadcast"
    await simulated.mine(CONFIRMATIONS)
    assert (await simulated.withdrawal("w")).status == "confirmed"
    assert simulated.payments_to(address) == 1


async def test_a_forgotten_payment_to_who_is_spelt_otherwise_is_taken_for_the_orders(
    simulated: SimulatedWorld,
) -> None:
    address = "0x" + secrets.token_hex(20)
    stop_signer(simulated)
    (order,) = await simulated.request(simulated.command("w", address=show_ethereum(address)))
    transaction_id = await pay_before(simulated, order._replace(address=address))
    await simulated.mine(CONFIRMATIONS)
    await adopt(simulated, "w", transaction_id)
    await start_signer(simulated)
    await simulated.mine(CONFIRMATIONS)
    assert (await simulated.withdrawal("w")).status == "confirmed"
    assert simulated.payments_to(address) == 1
