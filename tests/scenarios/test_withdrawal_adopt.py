"""A payment that a restored database forgot is booked on an operator's word, and not made again."""

from __future__ import annotations

import asyncio

import pytest

from agents.by_operator.adoption import NotAdoptable
from agents.match_deposits import MatchDeposits
from agents.runtime.transact import transact
from chain_adapters import registry
from chain_adapters.types import Transaction, Transfer
from custody.approve import cancel_withdrawal
from sql import chain as chain_sql
from sql import rescan as rescan_sql
from sql import transactions as transactions_sql
from sql import wallets as wallets_sql
from sql.pool import Pool
from tests.support.command_line import CommandLine
from tests.support.forgotten import (
    adopt,
    check_wallet,
    halted,
    pay_before,
    start_signer,
    stop_signer,
    wait_unsigned,
)
from tests.support.races import until_blocked
from tests.support.withdrawals import CONFIRMATIONS, FEE_MINOR, TOKEN, SimulatedWorld


@pytest.fixture(params=[True, False], ids=["with nonces", "with expiry alone"])
async def either(request: pytest.FixtureRequest, pool: Pool, database_url: str) -> SimulatedWorld:
    """A world whose chain has nonces, and one where nothing but expiry tells payments apart."""
    made = SimulatedWorld(pool, database_url)
    made.chain.has_nonces = request.param
    made.chain.lifetime = None if request.param else 30
    await made.start()
    stop_signer(made)
    return made


@pytest.fixture
async def world(pool: Pool, database_url: str) -> SimulatedWorld:
    made = SimulatedWorld(pool, database_url)
    await made.start()
    stop_signer(made)
    return made


@pytest.fixture
def millrace(
    world: SimulatedWorld, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> CommandLine:
    monkeypatch.setitem(registry._SIMULATED, world.network, world.chain)
    return CommandLine(
        {
            "MILLRACE_CONFIG": "",
            "MILLRACE_DATABASE_URL": f"{database_url}&role=millrace_app",
            "MILLRACE_TOPIC_PREFIX": world.pipeline.kafka.prefix,
            "MILLRACE_NETWORKS": f"[{world.context.settings.networks[0].model_dump_json()}]",
        }
    )


async def not_known_yet(*_: object) -> None:
    """Stand for a look at the database before another operator's word was committed."""


async def test_a_forgotten_payment_is_booked_with_its_fee_and_not_made_again(
    either: SimulatedWorld,
) -> None:
    world = either
    coins, tokens = await wait_unsigned(world, coins=700, tokens={"asset": world.token})
    paid = [await pay_before(world, coins)]
    await world.mine()
    paid.append(await pay_before(world, tokens, contract=TOKEN))
    await world.mine(CONFIRMATIONS)
    for order, transaction_id in zip((coins, tokens), paid, strict=True):
        adopted = await adopt(world, order.idempotency_key, transaction_id)
        assert (adopted.status, adopted.sender) == ("signed", world.hot_wallet)
    await world.mine()
    for order in await world.withdrawals():
        assert order.status == "confirmed"
        assert world.payments_to(order.address) == 1
    await check_wallet(world)
    await start_signer(world)
    await world.request(world.command("next"))
    await world.recover()
    assert await halted(world) is None
    assert [world.payments_to(order.address) for order in await world.withdrawals()] == [1, 1, 1]
    await check_wallet(world)
    spent = 700 + FEE_MINOR + 100 + FEE_MINOR
    assert await world.balance("available") == 10**6 - spent


async def test_a_payment_in_a_block_long_forgotten_is_booked_all_the_same(
    world: SimulatedWorld,
) -> None:
    [order] = await wait_unsigned(world, order=700)
    transaction_id = await pay_before(world, order)
    await world.mine(60)
    async with world.pool.acquire() as conn:
        await chain_sql.prune_blocks(conn, world.network, 45)
    await adopt(world, "order", transaction_id)
    await world.mine()
    assert (await world.withdrawal("order")).status == "confirmed"
    await check_wallet(world)


async def test_a_payment_that_cost_nothing_is_found_too(world: SimulatedWorld) -> None:
    """TRON has some."""
    [order] = await wait_unsigned(world, order=700)
    given = Transfer("value", world.hot_wallet, order.address, None, 700)
    free = Transaction("0x" + "fe" * 32, world.hot_wallet, True, 0, (given,))
    world.chain.include([free])
    await world.mine(CONFIRMATIONS)
    await adopt(world, "order", free.id)
    await world.mine()
    assert (await world.withdrawal("order")).status == "confirmed"


async def test_its_events_are_those_of_any_payment(world: SimulatedWorld) -> None:
    [order] = await wait_unsigned(world, order=700)
    transaction_id = await pay_before(world, order)
    await world.mine(CONFIRMATIONS)
    await adopt(world, "order", transaction_id)
    await world.mine()
    assert world.event_types() == [
        "withdrawal.requested",
        "withdrawal.approved",
        "withdrawal.signed",
        "withdrawal.confirmed",
    ]


async def test_one_payment_is_not_two_orders(
    world: SimulatedWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = "0x" + "5e" * 20
    one, other = await wait_unsigned(world, one={"address": address}, other={"address": address})
    transaction_id = await pay_before(world, one)
    await world.mine(CONFIRMATIONS)
    results = await asyncio.gather(
        *(adopt(world, order.idempotency_key, transaction_id) for order in (one, other)),
        return_exceptions=True,
    )
    [refused] = [str(result) for result in results if isinstance(result, NotAdoptable)]
    assert "is the payment of" in refused
    await world.mine()
    statuses = sorted(order.status for order in await world.withdrawals())
    assert statuses == ["approved", "confirmed"]
    [left] = [o.idempotency_key for o in await world.withdrawals() if o.status == "approved"]
    with pytest.raises(NotAdoptable, match=f"is the payment of {world.tenant}'s withdrawal"):
        await adopt(world, left, transaction_id)
    height = world.chain.tip.height - CONFIRMATIONS
    monkeypatch.setattr(transactions_sql, "paid_order", not_known_yet)
    with pytest.raises(NotAdoptable, match="of another withdrawal already"):
        await adopt(world, left, transaction_id, height)


async def test_the_wallet_is_halted_until_every_payment_that_was_forgotten_is_booked(
    world: SimulatedWorld,
) -> None:
    """Nothing is signed behind one that is still forgotten, in whatever order they are booked."""
    first, second = await wait_unsigned(world, first=700, second=800)
    transactions = []
    for order in (first, second):
        transactions.append(await pay_before(world, order))
        await world.mine()
    await world.mine(CONFIRMATIONS)
    await adopt(world, "second", transactions[1])
    assert await world.next_nonce() == 1
    await start_signer(world)
    assert "expects nonce 2" in str(await halted(world))
    assert world.payments_to(first.address) == 1
    await adopt(world, "first", transactions[0])
    async with world.pool.acquire() as conn:
        await wallets_sql.resume_wallet(conn, world.network, world.tenant)
    await world.mine()
    assert {order.status for order in await world.withdrawals()} == {"confirmed"}
    await check_wallet(world)


async def test_a_nonce_that_is_counted_already_is_not_counted_again(world: SimulatedWorld) -> None:
    """An operator resumed the wallet first: a gap would hold up every later payment."""
    [order] = await wait_unsigned(world, order=700)
    transaction_id = await pay_before(world, order)
    await world.mine(CONFIRMATIONS)
    async with world.pool.acquire() as conn, conn.transaction():
        await wallets_sql.lock_nonces(conn, world.network, {world.hot_wallet: 1})
    await adopt(world, "order", transaction_id)
    await world.mine()
    await check_wallet(world)


async def test_of_a_wallet_that_cannot_pay_a_fee_the_payment_is_booked_and_the_nonce_passed_over(
    world: SimulatedWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No node tells its number then: it is halted before it signs again, and resumed."""
    [order] = await wait_unsigned(world, order=700)
    transaction_id = await pay_before(world, order)
    await world.mine(CONFIRMATIONS)
    with monkeypatch.context() as patch:
        patch.setattr(world.node, "_fee_minor_max", 1)
        await adopt(world, "order", transaction_id)
    await world.mine()
    assert (await world.withdrawal("order")).status == "confirmed"
    await start_signer(world)
    await world.request(world.command("next"))
    assert "expects nonce 1, we gave out 0" in str(await halted(world))
    async with world.pool.acquire() as conn:
        await wallets_sql.resume_wallet(conn, world.network, world.tenant)
    await world.recover()
    assert {one.status for one in await world.withdrawals()} == {"confirmed"}
    await check_wallet(world)


async def test_an_order_that_awaits_approval_is_approved_by_who_says_it_was_paid(
    world: SimulatedWorld,
) -> None:
    [order] = await wait_unsigned(world, large=600_000)
    assert order.status == "awaiting_approval"
    transaction_id = await pay_before(world, order)
    await world.mine(CONFIRMATIONS)
    assert (await adopt(world, "large", transaction_id)).decided_by == "carol"
    await world.mine()
    assert (await world.withdrawal("large")).status == "confirmed"
    await check_wallet(world)


async def test_what_is_not_proven_changes_nothing(world: SimulatedWorld) -> None:
    order, elsewhere = await wait_unsigned(world, order=700, elsewhere=700)
    other = await pay_before(world, elsewhere)
    await world.mine()
    height = world.chain.tip.height
    paid = await pay_before(world, order)
    await world.mine()
    refusals = [
        ("order", other, None, "not the order's recipient alone"),
        ("order", paid, height, f"block {height} has no {paid}"),
        ("order", paid, height + 2, "cannot be held against the chain"),
        ("order", "0xno", None, "name its --height"),
        ("order", paid, None, "not as deep yet"),
        ("nobody's", paid, None, "has no withdrawal"),
    ]
    for order_id, transaction_id, at, why in refusals:
        with pytest.raises(NotAdoptable, match=why):
            await adopt(world, order_id, transaction_id, at)
    assert [one.status for one in await world.withdrawals()] == ["approved", "approved"]
    assert await world.next_nonce() == 0
    await world.mine()
    await adopt(world, "order", paid)


async def test_what_was_signed_here_or_came_to_its_end_is_not_adopted(
    world: SimulatedWorld,
) -> None:
    await start_signer(world)
    command = world.command("ours", 700)
    await world.request(command)
    await world.mine(CONFIRMATIONS)
    stop_signer(world)
    [ours] = await world.attempts("ours")
    [twin] = await wait_unsigned(world, twin={"amount_minor": 700, "address": command["address"]})
    with pytest.raises(NotAdoptable, match="'ours' is confirmed"):
        await adopt(world, "ours", ours.transaction_id)
    with pytest.raises(NotAdoptable, match="withdrawal 'ours'"):
        await adopt(world, twin.idempotency_key, ours.transaction_id, ours.height)
    assert (await world.withdrawal("twin")).status == "approved"


async def test_a_payment_in_a_block_that_left_the_chain_is_refused(world: SimulatedWorld) -> None:
    [order] = await wait_unsigned(world, order=700)
    transaction_id = await pay_before(world, order)
    await world.mine(CONFIRMATIONS)
    height = world.chain.tip.height - CONFIRMATIONS + 1
    world.chain.reorganise(CONFIRMATIONS)  # and Millrace has not followed it yet
    assert world.received(order.address) == 700
    with pytest.raises(NotAdoptable, match="not in the chain as Millrace follows it"):
        await adopt(world, "order", transaction_id, height)
    await world.follow()
    await adopt(world, "order", transaction_id, height)


async def test_if_its_block_leaves_the_chain_it_waits_for_another_and_is_not_made_again(
    world: SimulatedWorld,
) -> None:
    [order] = await wait_unsigned(world, order=700)
    transaction_id = await pay_before(world, order)
    await world.mine(CONFIRMATIONS)
    await adopt(world, "order", transaction_id)
    await world.mine()
    await start_signer(world)
    [kept] = [t for b in world.chain.blocks for t in b.transactions if t.id == transaction_id]
    world.chain.reorganise(CONFIRMATIONS + 1, keep=False)
    await world.mine()
    assert (await world.withdrawal("order")).status == "broadcast"
    for _ in range(3):
        await world.retry()
        await world.replace_due()
        await world.mine(CONFIRMATIONS)
    [attempt] = await world.attempts("order")
    assert (attempt.state, attempt.last_outcome) == ("broadcast", None)
    assert world.received(order.address) == 0
    world.chain.include([kept])
    await world.follow()
    await world.mine(CONFIRMATIONS)
    assert (await world.withdrawal("order")).status == "confirmed"
    assert world.payments_to(order.address) == 1


async def test_a_stage_that_is_at_the_block_is_waited_for(world: SimulatedWorld) -> None:
    """It may be booking, by itself, what the payment cost."""
    [order] = await wait_unsigned(world, order=700)
    transaction_id = await pay_before(world, order)
    await world.mine(CONFIRMATIONS)
    async with world.pool.acquire() as conn, conn.transaction():
        await rescan_sql.hold_stages(conn, [MatchDeposits.name])
        adopting = asyncio.create_task(adopt(world, "order", transaction_id))
        await until_blocked(world.pool, adopting)
    assert (await adopting).status == "signed"


async def test_an_order_that_is_given_up_in_that_moment_is_not_adopted(
    world: SimulatedWorld,
) -> None:
    [order] = await wait_unsigned(world, order=700)
    transaction_id = await pay_before(world, order)
    await world.mine(CONFIRMATIONS)
    async with transact(world.context) as work:
        await cancel_withdrawal(work, world.tenant, "order")
        adopting = asyncio.create_task(adopt(world, "order", transaction_id))
        await until_blocked(world.pool, adopting)
    with pytest.raises(NotAdoptable, match="came to its end meanwhile"):
        await adopting
    assert await world.attempts("order") == []


async def test_the_command_adopts_and_tells_why_not(
    world: SimulatedWorld, millrace: CommandLine
) -> None:
    """By an operator with the workers' role and no more."""
    [order] = await wait_unsigned(world, order=700)
    transaction_id = await pay_before(world, order)
    await world.mine(CONFIRMATIONS)
    said = ("withdraw", "adopt", "order", "--tenant", world.tenant, "--transaction")
    refused = await millrace.run(*said, "0x" + "ab" * 32)
    assert refused.exit_code == 1
    assert "name its --height" in refused.output
    adopted = await millrace.json(*said, transaction_id.upper().replace("X", "x"))
    assert (adopted["id"], adopted["status"]) == ("order", "signed")
    await world.mine()
    assert (await world.withdrawal("order")).status == "confirmed"
    again = await millrace.run(*said, transaction_id)
    assert again.exit_code == 1
    assert "'order' is confirmed" in again.output
