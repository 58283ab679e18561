"""What an approved withdrawal waits for is noted by the signer, for as long as it waits."""

from __future__ import annotations

import asyncio

import pytest

from agents.measure_state import MeasureState
from agents.runtime.transact import transact
from chain_adapters.simulated import Mischief
from chain_adapters.types import PaymentRefused
from custody.approve import cancel_withdrawal
from metrics.catalogue import SHARED_REGISTRY
from sql import chain as chain_sql
from sql import ledger as ledger_sql
from sql import wallets as wallets_sql
from sql import withdrawals as withdrawals_sql
from sql.pool import Pool
from sql.withdrawals import WAIT_REASONS
from tests.support.races import until_blocked
from tests.support.withdrawals import CONFIRMATIONS, SimulatedWorld


@pytest.fixture
async def world(pool: Pool, database_url: str) -> SimulatedWorld:
    made = SimulatedWorld(pool, database_url)
    await made.start()
    return made


async def waits_for(world: SimulatedWorld, order_id: str = "order-1") -> str | None:
    """Return what an order waits for, as the signer noted it."""
    withdrawal = await world.withdrawal(order_id)
    async with world.pool.acquire() as conn:
        rows = await withdrawals_sql.list_obstacles(conn, [withdrawal.withdrawal_id])
    return rows[0].waits_for if rows else None


async def row_version(world: SimulatedWorld) -> int:
    """Return what changes with every UPDATE of the tenant's only withdrawal."""
    return int(
        await world.pool.fetchval(
            "SELECT xmin::text::bigint FROM withdrawals WHERE tenant = $1", world.tenant
        )
    )


async def approve_unsigned(world: SimulatedWorld, order_id: str = "order-1") -> int:
    """Let an order be approved, and leave it before the signer."""
    runners = world.pipeline.runners
    world.pipeline.runners = [r for r in runners if r.stage.name == "check_withdrawals"]
    world.send(world.command(order_id))
    await world.settle()
    world.pipeline.runners = runners
    return (await world.withdrawal(order_id)).withdrawal_id


async def test_a_fee_above_the_limit_is_noted_once_and_forgotten_when_it_is_signed(
    world: SimulatedWorld,
) -> None:
    world.node._fee_minor_max = 0
    (order,) = await world.request(world.command("order-1"))
    assert (order.status, await waits_for(world)) == ("approved", "fee_above_cap")
    version = await row_version(world)
    await world.retry()
    assert await row_version(world) == version, "nothing has changed, and nothing is written"
    world.node._fee_minor_max = 10**18
    await world.retry()
    assert (await world.withdrawal("order-1")).status == "broadcast"
    noted = "SELECT waits_for FROM withdrawals WHERE tenant = $1"
    assert await world.pool.fetchval(noted, world.tenant) is None


async def test_what_it_waits_for_changes_with_what_the_signer_meets(world: SimulatedWorld) -> None:
    world.node.order_mischief([Mischief.UNAVAILABLE])
    await world.request(world.command("order-1"))
    assert await waits_for(world) == "no_quote"
    world.node._fee_minor_max = 0
    await world.retry()
    assert await waits_for(world) == "fee_above_cap"


@pytest.mark.parametrize("bar", ["tenant_suspended", "account_frozen", "network_halted"])
async def test_what_forbids_to_sign_is_noted(world: SimulatedWorld, bar: str) -> None:
    await approve_unsigned(world)
    async with world.pool.acquire() as conn:
        if bar == "tenant_suspended":
            await conn.execute(
                "UPDATE tenants SET status = 'suspended' WHERE tenant = $1", world.tenant
            )
        elif bar == "account_frozen":
            await ledger_sql.freeze_account(
                conn, world.tenant, "alice", asset=world.coin, reason="court order"
            )
        else:
            await chain_sql.halt_network(conn, world.network, "too deep")
    await world.settle()
    assert await waits_for(world) == bar


async def test_a_halted_wallet_is_noted_when_it_is_halted_and_afterwards(
    world: SimulatedWorld,
) -> None:
    await world.request(world.command("order-1"))
    await world.mine(CONFIRMATIONS)
    world.chain.state_at(-1).nonces[world.hot_wallet] = 7
    await world.request(world.command("order-2"))
    await world.request(world.command("order-3"))
    assert [await waits_for(world, f"order-{n}") for n in (2, 3)] == ["wallet_halted"] * 2


async def test_a_tenant_without_keys_waits_for_a_hot_wallet(world: SimulatedWorld) -> None:
    async with world.pool.acquire() as conn:
        await conn.execute(
            "INSERT INTO tenants (tenant, name) VALUES ($1, 'new')", f"{world.tenant}-new"
        )
    world.tenant = f"{world.tenant}-new"
    await world.credit("alice", world.coin, 10**6)
    (order,) = await world.request(world.command("order-1"))
    assert (order.status, await waits_for(world)) == ("approved", "no_hot_wallet")


async def test_what_the_wallet_has_not_beside_earlier_payments_is_noted(
    pool: Pool, database_url: str
) -> None:
    world = SimulatedWorld(pool, database_url)
    await world.start(funds_minor=100_000)
    orders = await world.request(*(world.command(f"order-{n}", 60_000) for n in (1, 2)))
    assert [order.status for order in orders] == ["broadcast", "approved"]
    assert await waits_for(world, "order-2") == "sender_lacks_funds"


async def test_where_one_is_paid_at_a_time_the_others_wait_for_the_one_before(
    world: SimulatedWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(world.node, "in_flight_max", 1)
    await world.request(world.command("order-1"), world.command("order-2"))
    assert [await waits_for(world, f"order-{n}") for n in (1, 2)] == [None, "earlier_payment"]
    async with world.pool.acquire() as conn:
        await wallets_sql.take_prepared_nonce(conn, world.network, world.hot_wallet, 1, None)
    await world.mine(CONFIRMATIONS)
    await world.retry()
    assert await waits_for(world, "order-2") == "earlier_payment", "the wallet is prepared"


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (PaymentRefused("too_many_coins", "a thousand"), "too_many_coins"),
        (PaymentRefused("of_another_kind", "odd"), "not_signed"),
        (ValueError("odd"), "not_signed"),
    ],
)
async def test_what_could_be_quoted_and_not_signed_is_noted(
    world: SimulatedWorld, monkeypatch: pytest.MonkeyPatch, error: Exception, reason: str
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(world.node, "build", refuse)
    (order,) = await world.request(world.command("order-1"))
    assert (order.status, await waits_for(world)) == ("approved", reason)


async def test_what_is_cancelled_while_the_signer_waits_for_it_waits_for_nothing(
    world: SimulatedWorld,
) -> None:
    """It is of a halted wallet, so that no node is asked about it."""
    withdrawal_id = await approve_unsigned(world)
    async with world.pool.acquire() as conn:
        await wallets_sql.lock_nonces(conn, world.network, {world.hot_wallet: 0})
        await wallets_sql.halt_wallet(conn, world.network, world.hot_wallet, "for the test", None)
    async with transact(world.context) as work:
        await withdrawals_sql.lock_withdrawals(work.conn, [withdrawal_id], ("approved",))
        signing = asyncio.create_task(world.settle())
        await until_blocked(world.pool, signing)
        await cancel_withdrawal(work, world.tenant, "order-1", "by hand")
    await signing
    assert ((await world.withdrawal("order-1")).status, await waits_for(world)) == ("failed", None)


async def test_approved_withdrawals_are_counted_by_what_they_wait_for(
    world: SimulatedWorld,
) -> None:
    def shown() -> dict[str, float | None]:
        name = "millrace_withdrawals_waiting"
        return {
            reason: SHARED_REGISTRY.get_sample_value(
                name, {"network": world.network, "reason": reason}
            )
            for reason in WAIT_REASONS
        }

    measuring = MeasureState(world.context)
    await measuring.run_once()
    assert shown() == dict.fromkeys(WAIT_REASONS, 0)
    world.node._fee_minor_max = 0
    await world.request(world.command("order-1"), world.command("order-2"))
    world.node.order_mischief([Mischief.UNAVAILABLE])
    await world.request(world.command("order-3"))
    await approve_unsigned(world, "order-4")
    await measuring.run_once()
    assert shown() == dict.fromkeys(WAIT_REASONS, 0) | {"fee_above_cap": 2, "no_quote": 1}
    labels = {"network": world.network, "status": "approved"}
    assert SHARED_REGISTRY.get_sample_value("millrace_withdrawals_open", labels) == 4
