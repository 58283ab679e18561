"""Attacks on the way out: money that is not there, who may not pay, odd orders."""

from __future__ import annotations

import asyncio

import pytest

from agents.check_withdrawals import CheckWithdrawals
from agents.runtime.stage import Work
from agents.runtime.transact import transact
from agents.sign_withdrawals import SignWithdrawals
from chain_adapters.simulated import Mischief
from custody.approve import MayBePaid, approve_withdrawal, cancel_withdrawal
from custody.hot_wallet import ensure_hot_wallet
from ledger import rules
from ledger.post import post
from sql import chain as chain_sql
from sql import ledger as ledger_sql
from sql import withdrawals as withdrawals_sql
from sql.pool import Pool
from tests.support.withdrawals import CONFIRMATIONS, FEE_MINOR, TOKEN, SimulatedWorld
from topics.event_data import HotWallet
from topics.events import AccountUnfrozen, HotWalletLow
from topics.withdrawals import WithdrawalCommand, WithdrawalsApproved

START_MINOR = 10**6


@pytest.fixture
async def world(pool: Pool, database_url: str) -> SimulatedWorld:
    made = SimulatedWorld(pool, database_url)
    await made.start()
    return made


def lows(world: SimulatedWorld) -> list[HotWallet]:
    return [event.data for event in world.events() if isinstance(event, HotWalletLow)]


async def cancel(world: SimulatedWorld, order_id: str) -> None:
    async with transact(world.context) as work:
        await cancel_withdrawal(work, world.tenant, order_id, "by hand")
    await world.settle()


async def execute(world: SimulatedWorld, statement: str, *arguments: object) -> None:
    async with world.pool.acquire() as conn:
        await conn.execute(statement, *arguments)


# Money that is not there


async def test_tokens_that_are_not_there_are_never_sent_to_revert(
    pool: Pool, database_url: str
) -> None:
    world = SimulatedWorld(pool, database_url)
    await world.start(funds_minor=1000)
    world.chain.mint(world.hot_wallet, None, 10**6)
    commands = [world.command(f"order-{n}", 400, asset=world.token) for n in range(4)]
    orders = await world.request(*commands)
    await world.mine(CONFIRMATIONS)
    assert [order.status for order in orders] == ["broadcast", "broadcast", "approved", "approved"]
    assert [world.received(c["address"], TOKEN) for c in commands] == [400, 400, 0, 0]
    assert {(low.asset, low.balance_minor, low.threshold_minor) for low in lows(world)} == {
        (world.token, "1000", "1200")
    }
    world.chain.mint(world.hot_wallet, TOKEN, 1000)
    await world.follow()
    await world.recover()
    assert [order.status for order in await world.withdrawals()] == ["confirmed"] * 4


async def test_what_was_signed_before_counts_until_a_block_shows_it(
    pool: Pool, database_url: str
) -> None:
    world = SimulatedWorld(pool, database_url)
    await world.start(funds_minor=1000)
    world.chain.mint(world.hot_wallet, None, 10**6)
    await world.request(world.command("order-1", 800, asset=world.token))
    (second,) = await world.request(world.command("order-2", 300, asset=world.token))
    assert second.status == "approved"
    await world.mine(CONFIRMATIONS)
    (third,) = await world.request(world.command("order-3", 100, asset=world.token))
    assert third.status == "broadcast"


async def test_a_wallet_without_gas_for_all_its_tokens_is_told_in_the_coin(
    pool: Pool, database_url: str
) -> None:
    world = SimulatedWorld(pool, database_url)
    await world.start(funds_minor=0)
    world.chain.mint(world.hot_wallet, TOKEN, 10**6)
    world.chain.mint(world.hot_wallet, None, 3500)
    await world.follow()
    orders = await world.request(
        *[world.command(f"order-{n}", 10, asset=world.token) for n in range(8)]
    )
    paid = [order for order in orders if order.status == "broadcast"]
    assert 0 < len(paid) < 8
    assert {low.asset for low in lows(world)} == {world.coin}
    assert all(int(low.balance_minor) < int(low.threshold_minor) for low in lows(world))
    await world.mine(CONFIRMATIONS)
    assert {(await world.withdrawal(o.idempotency_key)).status for o in paid} == {"confirmed"}


async def test_a_wallet_emptied_after_signing_is_told(world: SimulatedWorld) -> None:
    runners = world.pipeline.runners
    world.pipeline.runners = [r for r in runners if r.stage.name != "broadcast_withdrawals"]
    (order,) = await world.request(world.command("order-1"))
    assert order.status == "signed"
    world.chain.state_at(-1).balances[world.hot_wallet, None] = 150
    await world.retry()
    (low,) = {(low.asset, low.balance_minor, low.threshold_minor) for low in lows(world)}
    assert low == (world.coin, "150", "151")
    assert (await world.attempts("order-1"))[0].last_outcome == "refused"


# Who may not pay between the hold and the signature


@pytest.mark.parametrize("who", ["owner frozen", "tenant suspended", "network halted"])
async def test_what_was_approved_waits_while_it_may_not_be_paid(
    world: SimulatedWorld, who: str
) -> None:
    command = world.command("order-1", 500_000)
    await world.request(command)
    await set_blocked(world, who, blocked=True)
    await approve(world, "order-1")
    await world.retry()
    assert (await world.withdrawal("order-1")).status == "approved"
    await set_blocked(world, who, blocked=False)
    await world.retry()
    await world.mine(CONFIRMATIONS)
    assert world.payments_to(command["address"]) == 1


async def approve(world: SimulatedWorld, order_id: str) -> None:
    async with transact(world.context) as work:
        await approve_withdrawal(work, world.tenant, order_id, "carol")
    await world.settle()


async def set_blocked(world: SimulatedWorld, who: str, *, blocked: bool) -> None:
    async with world.pool.acquire() as conn:
        if who == "owner frozen" and blocked:
            await ledger_sql.freeze_account(
                conn, world.tenant, "alice", asset=world.coin, reason="by hand"
            )
        elif who == "owner frozen":
            await conn.execute(
                "UPDATE accounts SET frozen_at = NULL, frozen_reason = NULL WHERE tenant = $1",
                world.tenant,
            )
        elif who == "tenant suspended":
            status = "suspended" if blocked else "active"
            await conn.execute(
                "UPDATE tenants SET status = $2 WHERE tenant = $1", world.tenant, status
            )
        else:
            await chain_sql.halt_network(conn, world.network, "deep" if blocked else None)


async def test_a_forged_record_signs_nothing_that_is_not_approved(world: SimulatedWorld) -> None:
    big, refused = await world.request(
        world.command("order-1", 500_000), world.command("order-2", 9)
    )
    assert (big.status, refused.status) == ("awaiting_approval", "rejected")
    ids = [big.withdrawal_id, refused.withdrawal_id]
    stage = SignWithdrawals(world.context, world.signer)
    records = [WithdrawalsApproved(world.network, ids)]
    async with transact(world.context) as work:
        await stage.apply(work, records, await stage.prepare(records))
    assert await world.next_nonce() == 0
    assert await world.attempts("order-1") == []


async def test_only_approved_orders_are_payable(world: SimulatedWorld) -> None:
    orders = await world.request(
        world.command("order-1", 500_000), world.command("order-2", 9), world.command("order-3")
    )
    ids = [order.withdrawal_id for order in orders]
    assert [order.status for order in orders] == ["awaiting_approval", "rejected", "broadcast"]
    async with world.pool.acquire() as conn, conn.transaction():
        assert await withdrawals_sql.signing_bars(conn, ids) == {}


async def test_an_order_rejected_after_its_quote_is_not_signed(world: SimulatedWorld) -> None:
    """The quote saw it approved; the lock must look again."""
    (order,) = await approved_only(world, "order-1")
    stage = SignWithdrawals(world.context, world.signer)
    records = [WithdrawalsApproved(world.network, [order])]
    prepared = await stage.prepare(records)
    await cancel(world, "order-1")
    async with transact(world.context) as work:
        await stage.apply(work, records, prepared)
    assert await world.attempts("order-1") == []
    assert await world.balance("available") == START_MINOR


async def approved_only(world: SimulatedWorld, *order_ids: str) -> list[int]:
    """Bring orders to approved with no signer at work."""
    world.pipeline.runners = [
        r for r in world.pipeline.runners if r.stage.name != "sign_withdrawals"
    ]
    orders = await world.request(*[world.command(order_id) for order_id in order_ids])
    return [order.withdrawal_id for order in orders]


async def test_an_approved_order_is_cancelled_once_and_never_signed(world: SimulatedWorld) -> None:
    await approved_only(world, "order-1")
    await cancel(world, "order-1")
    with pytest.raises(MayBePaid):
        await cancel(world, "order-1")
    assert await world.balance("available") == START_MINOR
    assert world.event_types()[-1] == "withdrawal.failed"


# Odd orders


async def test_money_given_back_pays_the_owners_debt_first_and_that_is_told(
    world: SimulatedWorld,
) -> None:
    world.node.order_mischief([Mischief.UNAVAILABLE])
    await world.request(world.command("order-1", 100))
    owed_minor = 30
    spent = await world.balance("available") + owed_minor
    reversal = rules.deposit_reversed(
        world.tenant, "alice", world.coin, spent, deposit_id=1, revision=0
    )
    async with world.pool.acquire() as conn, conn.transaction():
        await post(conn, [reversal])
    assert await world.balance("receivable") == owed_minor
    await cancel(world, "order-1")
    assert await world.balance("receivable") == 0
    assert await world.balance("available") == 100 + FEE_MINOR - owed_minor
    (told,) = [event.data for event in world.events() if isinstance(event, AccountUnfrozen)]
    assert (told.owner, told.asset) == ("alice", world.coin)


@pytest.mark.parametrize("upper", [True, False])
async def test_our_own_address_is_found_in_any_spelling(
    world: SimulatedWorld, *, upper: bool
) -> None:
    digits = world.hot_wallet[2:]
    address = "0x" + (digits.upper() if upper else digits)
    (order,) = await world.request(world.command("order-1", address=f" {address} "))
    assert order.reason == "own_address"


async def test_an_address_of_another_tenant_is_ours_too(world: SimulatedWorld) -> None:
    await execute(
        world,
        "INSERT INTO tenants (tenant, name) VALUES ($1, $1)",
        f"{world.tenant}-2",
    )
    await world.stock_keys.run_once()
    async with world.pool.acquire() as conn, conn.transaction():
        wallet = await ensure_hot_wallet(conn, world.adapter, f"{world.tenant}-2", world.network)
    address = world.adapter.show_address(wallet.address)
    (order,) = await world.request(world.command("order-1", address=address))
    assert order.reason == "own_address"


async def test_nothing_is_sent_to_a_tokens_contract(world: SimulatedWorld) -> None:
    orders = await world.request(
        world.command("order-1", asset=world.token, address=TOKEN),
        world.command("order-2", asset=world.coin, address=TOKEN),
    )
    assert [(o.status, o.reason) for o in orders] == [("rejected", "token_address")] * 2


async def test_the_largest_amount_is_refused_and_stops_nothing(world: SimulatedWorld) -> None:
    await execute(
        world, "UPDATE assets SET withdrawal_minor_max = NULL WHERE asset = $1", world.coin
    )
    huge, _ = await world.request(world.command("order-1", 10**78 - 1), world.command("order-2"))
    assert (huge.status, huge.reason) == ("rejected", "unpostable")


async def test_the_same_id_of_two_tenants_is_two_orders(world: SimulatedWorld) -> None:
    other = f"{world.tenant}-2"
    await execute(world, "INSERT INTO tenants (tenant, name) VALUES ($1, $1)", other)
    world.send(world.command("order-1"), world.command("order-1", tenant=other))
    await world.settle()
    assert world.rejections() == [("order-1", "insufficient_funds")]
    assert (await world.withdrawal("order-1")).status == "broadcast"


# The ledger


async def test_a_settlement_that_overtakes_its_reversal_is_posted_all_the_same(
    world: SimulatedWorld,
) -> None:
    await world.mine(5)
    await world.request(world.command("order-1"))
    await world.mine(CONFIRMATIONS)
    ledger = next(r for r in world.pipeline.runners if r.stage.name == "post_ledger")
    world.pipeline.runners.remove(ledger)
    world.chain.reorganise(CONFIRMATIONS, keep=True, length=CONFIRMATIONS + 1)
    await world.follow()
    world.pipeline.deliver = lambda records: [[record] for record in reversed(records)]
    world.pipeline.runners.append(ledger)
    await world.settle()
    await world.check_books()


async def test_gas_is_posted_once_however_often_the_block_is_told(world: SimulatedWorld) -> None:
    await world.request(world.command("order-1", asset=world.token))
    world.pipeline.deliver = lambda records: [records, records, records]
    await world.mine(CONFIRMATIONS)
    gas = await world.balance("network_fees", owner="")
    (attempt,) = await world.attempts("order-1")
    assert gas == int(attempt.fee_minor or 0) > 0


async def test_five_hundred_orders_in_one_batch_are_paid_once_each(world: SimulatedWorld) -> None:
    await world.request(*[world.command(f"order-{n}", 10) for n in range(500)])
    await world.mine(CONFIRMATIONS)
    await world.check_books()
    assert {order.status for order in await world.withdrawals()} == {"confirmed"}


async def test_limits_hold_between_two_workers_at_once(world: SimulatedWorld) -> None:
    await execute(
        world, "UPDATE assets SET withdrawal_count_max_hour = 1 WHERE asset = $1", world.coin
    )

    async def check(order_id: str) -> None:
        stage = CheckWithdrawals(world.context)
        async with transact(world.context) as work:
            command = WithdrawalCommand.model_validate(world.command(order_id))
            await apply_slowly(stage, work, command)

    async def apply_slowly(stage: CheckWithdrawals, work: Work, command: WithdrawalCommand) -> None:
        await stage.apply(work, [command], None)
        await asyncio.sleep(0.05)  # the rival's statements run now

    await asyncio.gather(check("order-1"), check("order-2"), check("order-3"))
    assert sorted(order.status for order in await world.withdrawals()) == [
        "approved",
        "rejected",
        "rejected",
    ]
