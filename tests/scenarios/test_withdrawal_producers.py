"""Producers who send nonsense, and tenants who call everything alike: nobody else notices."""

from __future__ import annotations

import json
from itertools import product

import pytest
from structlog.testing import capture_logs

from agents.runtime.transact import transact
from custody.approve import approve_withdrawal, reject_withdrawal
from custody.errors import CustodyError
from custody.freeze import freeze_owner
from custody.hot_wallet import ensure_hot_wallet
from ledger import rules
from ledger.post import post
from sql import ledger as ledger_sql
from sql import withdrawals as withdrawals_sql
from sql.pool import Pool
from tests.support.withdrawals import CONFIRMATIONS, SimulatedWorld

START_MINOR = 10**6
NO_COMMANDS = (b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"tenant": 5}', b'{"tenant": "A b"}')
ODD_TEXTS = (
    "a:b/c%2F..%00", "'; DROP TABLE withdrawals; --", "<script>alert(1)</script>", "${jndi:x}",
    "line\nlevel=error forged", "\x1b[2J\x1b]0;x\x07", "\u202etpircs", "e\u0301", "\u00e9",
    "\ufeff", "\u200b", "\U0001f4b8", "\x00", "x" * 1_000_000, " ", "{}", "null", "\x7f\x9b",
)  # fmt: skip
TEXT_FIELDS = ("owner", "asset", "address", "memo", "amount_minor", "id", "type")


@pytest.fixture
async def world(pool: Pool, database_url: str) -> SimulatedWorld:
    made = SimulatedWorld(pool, database_url)
    await made.start()
    return made


async def count_parked(world: SimulatedWorld) -> int:
    topic = f"{world.pipeline.kafka.prefix}withdrawal-commands"
    async with world.pool.acquire() as conn:
        return int(await conn.fetchval("SELECT count(*) FROM dead_letters WHERE topic = $1", topic))


async def test_any_number_of_records_that_name_no_tenant_stops_no_order(
    world: SimulatedWorld,
) -> None:
    flood = [NO_COMMANDS[n % len(NO_COMMANDS)] for n in range(300)]
    with capture_logs() as logs:
        world.send(*flood, world.command("order-1"), *flood, world.command("order-2"))
        await world.settle()
    assert [order.status for order in await world.withdrawals()] == ["broadcast"] * 2
    assert await count_parked(world) == 600
    assert "batch taken apart" not in {line["event"] for line in logs}


async def test_an_order_on_a_network_that_is_configured_no_longer_is_refused_and_stops_no_other(
    world: SimulatedWorld,
) -> None:
    async with world.pool.acquire() as conn:
        await conn.execute(
            "INSERT INTO networks (network, kind, native_asset, confirmations)"
            " VALUES ('gone:1', 'simulated', 'GONE', 1)"
        )
        await conn.execute(
            "INSERT INTO assets (asset, network, decimals) VALUES ('GONE', 'gone:1', 18)"
        )
    refused, paid = await world.request(
        world.command("order-1", asset="GONE"), world.command("order-2")
    )
    assert (refused.status, refused.reason) == ("rejected", "unknown_asset")
    assert paid.status == "broadcast"


async def test_of_odd_texts_in_any_field_each_is_answered_once(world: SimulatedWorld) -> None:
    odd = [
        {**world.command(f"odd-{n}"), field: text}
        for n, (field, text) in enumerate(product(TEXT_FIELDS, ODD_TEXTS))
    ]
    with capture_logs() as logs:
        orders = await world.request(world.command("before"))
        world.send(*odd)
        orders += await world.request(world.command("after"))
    assert [order.status for order in orders] == ["broadcast"] * 2
    paid = [order for order in await world.withdrawals() if order.status == "broadcast"]
    assert len(world.rejections()) + len(paid) - len(orders) == len(odd)
    assert await count_parked(world) == 0
    kept = len(await world.withdrawals()) - len(paid)
    assert kept == sum(not reason.startswith("bad_field:") for _, reason in world.rejections())
    assert not logs


async def test_two_tenants_who_call_everything_alike_have_nothing_in_common(
    world: SimulatedWorld,
) -> None:
    other = f"{world.tenant}-2"
    async with world.pool.acquire() as conn:
        await conn.execute("INSERT INTO tenants (tenant, name) VALUES ($1, $1)", other)
    await world.stock_keys.run_once()
    async with world.pool.acquire() as conn, conn.transaction():
        theirs = await ensure_hot_wallet(conn, world.adapter, other, world.network)
        await post(
            conn,
            [rules.deposit_credited(other, "alice", world.coin, 700, deposit_id=1, revision=0)],
        )
    world.chain.mint(theirs.address, None, 10**9)
    world.chain.mine(CONFIRMATIONS)
    await world.follow()

    async with transact(world.context) as work:
        await freeze_owner(work, other, "alice", world.coin, reason="theirs", actor="carol")
    order = world.command("order-1", 600_000)  # to be approved
    world.send(order | {"tenant": other, "amount_minor": "100"}, order)
    await world.settle()
    ours = await world.withdrawal("order-1")
    async with world.pool.acquire() as conn:
        frozen = await withdrawals_sql.find_withdrawal(conn, other, "order-1")
    assert frozen is not None
    assert (frozen.status, frozen.reason) == ("rejected", "account_frozen")
    assert ours.status == "awaiting_approval"

    for decide in (approve_withdrawal, reject_withdrawal):
        more = () if decide is approve_withdrawal else ("",)
        with pytest.raises(CustodyError):
            async with transact(world.context) as work:
                await decide(work, other, "order-1", "mallory", *more)
    async with transact(world.context) as work:
        await approve_withdrawal(work, world.tenant, "order-1", "carol")
    await world.settle()
    await world.mine(CONFIRMATIONS)
    assert (await world.withdrawal("order-1")).status == "confirmed"
    async with world.pool.acquire() as conn:
        left = await ledger_sql.fetch_account_balance(conn, other, "alice", world.coin, "available")
    assert left == 700
    told = [event for event in world.events() if event.tenant == other]
    assert "600000" not in json.dumps([str(event) for event in told])


async def test_the_key_of_a_record_gives_nobody_the_order(world: SimulatedWorld) -> None:
    other = f"{world.tenant}-2"
    async with world.pool.acquire() as conn:
        await conn.execute("INSERT INTO tenants (tenant, name) VALUES ($1, $1)", other)
    topic = f"{world.pipeline.kafka.prefix}withdrawal-commands"
    for key in (other.encode(), None, b"\xff"):
        value = json.dumps(world.command("order-1") | {"address": "0x" + "ab" * 20}).encode()
        world.pipeline.kafka.append(topic, key, value)
    await world.settle()
    assert [order.status for order in await world.withdrawals()] == ["broadcast"]
    assert {event.tenant for event in world.events()} == {world.tenant}
