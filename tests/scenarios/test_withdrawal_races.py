"""Payments and two hands on them in the same moment: money is paid or given back, never both."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from agents.check_withdrawals import CheckWithdrawals
from agents.replace_withdrawals import ReplaceWithdrawals
from agents.runtime.stage import Retryable
from agents.runtime.transact import transact
from agents.sign_withdrawals import SignWithdrawals
from chain_adapters.types import Broadcast, BroadcastOutcome, Payment, Quote, SignedTransaction
from custody.approve import MayBePaid, cancel_withdrawal
from sql import ledger as ledger_sql
from sql import wallets as wallets_sql
from sql import withdrawals as withdrawals_sql
from sql.pool import Pool
from tests.support.fateful_node import Fate
from tests.support.races import be_impatient, until_blocked
from tests.support.withdrawals import CONFIRMATIONS, FEE_MINOR, TOKEN, SimulatedWorld
from topics.withdrawals import WithdrawalsApproved

START_MINOR = 10**6


@pytest.fixture
async def world(pool: Pool, database_url: str) -> SimulatedWorld:
    made = SimulatedWorld(pool, database_url)
    await made.start()
    return made


async def deny(_: SignedTransaction) -> Broadcast:
    return Broadcast(BroadcastOutcome.NONCE_USED)


async def pay_and_deny(world: SimulatedWorld, monkeypatch: pytest.MonkeyPatch) -> str:
    """Send a payment of which the node says later, wrongly, that its nonce was used by another."""
    command = world.command("order-1")
    await world.request(command)
    with monkeypatch.context() as lie:
        lie.setattr(world.node, "broadcast", deny)
        await world.retry()
    return str(command["address"])


async def test_a_payment_that_lands_while_it_is_cancelled_is_paid_and_not_given_back(
    world: SimulatedWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = await pay_and_deny(world, monkeypatch)
    async with transact(world.context) as work:
        await cancel_withdrawal(work, world.tenant, "order-1", "by hand")
        landing = asyncio.create_task(world.mine())
        await until_blocked(world.pool, landing)
    await landing
    await world.mine(CONFIRMATIONS)
    assert (await world.withdrawal("order-1")).status == "confirmed"
    assert world.payments_to(address) == 1
    assert await world.balance("available") == START_MINOR - 100 - FEE_MINOR
    assert await world.balance("pending") == 0


async def test_a_payment_in_a_block_is_not_cancelled_whatever_a_node_said_of_its_nonce(
    world: SimulatedWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    await pay_and_deny(world, monkeypatch)
    await world.mine()
    with pytest.raises(MayBePaid):
        async with transact(world.context) as work:
            await cancel_withdrawal(work, world.tenant, "order-1", "by hand")


def halt_while_priced(world: SimulatedWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    honest = world.node.quote

    async def halt_meanwhile(payment: Payment) -> Quote:
        await halt(world)
        return await honest(payment)

    monkeypatch.setattr(world.node, "quote", halt_meanwhile)


async def test_a_wallet_halted_while_a_payment_is_priced_signs_none(
    world: SimulatedWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.request(world.command("order-1"))
    halt_while_priced(world, monkeypatch)
    (second,) = await world.request(world.command("order-2"))
    assert second.status == "approved"


async def test_a_wallet_halted_while_a_replacement_is_priced_signs_none(
    world: SimulatedWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.request(world.command("order-1"))
    with monkeypatch.context() as meanwhile:
        halt_while_priced(world, meanwhile)
        assert await world.tried("order-1") == 1


async def test_what_another_worker_replaced_while_it_is_priced_is_not_replaced_again(
    world: SimulatedWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the new attempt no node was asked whether it has landed."""
    honest = world.node.quote

    async def replace_meanwhile(payment: Payment) -> Quote:
        monkeypatch.setattr(world.node, "quote", honest)
        await ReplaceWithdrawals(world.context, world.signer).run_once()
        await world.settle()
        return await honest(payment)

    await world.request(world.command("order-1"))
    monkeypatch.setattr(world.node, "quote", replace_meanwhile)
    assert await world.tried("order-1") == 2


async def halt(world: SimulatedWorld) -> None:
    async with world.pool.acquire() as conn:
        await wallets_sql.halt_wallet(conn, world.network, world.hot_wallet, "for the test", None)


@pytest.mark.parametrize("fate", [Fate.LANDED, Fate.ANSWER_LOST])
async def test_what_a_quote_found_in_the_wallet_counts_once_though_it_is_paid_meanwhile(
    world: SimulatedWorld, monkeypatch: pytest.MonkeyPatch, fate: Fate
) -> None:
    """The node still had the money of a payment that was in a block when the next was signed."""
    honest = world.node.quote

    async def mine_meanwhile(payment: Payment) -> Quote:
        quote = await honest(payment)
        monkeypatch.setattr(world.node, "quote", honest)
        world.chain.mine()
        await world.follower.catch_up(world.chain.tip)
        await run_stage(world, "confirm_withdrawals")
        return quote

    held = world.received(world.hot_wallet, TOKEN)
    await world.credit("alice", world.token, 2 * held)
    world.node.fates.append(fate)
    await world.request(world.command("order-1", held - 1, asset=world.token))
    monkeypatch.setattr(world.node, "quote", mine_meanwhile)
    (second,) = await world.request(world.command("order-2", held - 1, asset=world.token))
    assert second.status == "approved"


@pytest.mark.parametrize("is_sent", [False, True])
async def test_what_another_worker_signs_while_a_payment_is_priced_counts(
    world: SimulatedWorld, is_sent: bool
) -> None:
    held = world.received(world.hot_wallet, TOKEN)
    await world.credit("alice", world.token, 2 * held)
    first, second = await approve_unsigned(
        world, *(world.command(f"order-{n}", held - 1, asset=world.token) for n in (1, 2))
    )
    stage = SignWithdrawals(world.context, world.signer)
    priced = await stage.prepare([WithdrawalsApproved(world.network, [second])])
    async with transact(world.context) as work:
        other = await stage.prepare([WithdrawalsApproved(world.network, [first])])
        await stage.apply(work, [], other)
    if is_sent:
        await world.pipeline.relay()
        await run_stage(world, "broadcast_withdrawals")
    async with transact(world.context) as work:
        await stage.apply(work, [], priced)
    statuses = [(await world.withdrawal(f"order-{n}")).status for n in (1, 2)]
    assert statuses == ["broadcast" if is_sent else "signed", "approved"]


async def run_stage(world: SimulatedWorld, name: str) -> None:
    """Give one stage what is new on its topic, while others are at work."""
    runners = world.pipeline.runners
    world.pipeline.runners = [runner for runner in runners if runner.stage.name == name]
    await world.pipeline.step()
    world.pipeline.runners = runners


async def test_a_nonce_is_not_taken_back_on_a_quote_from_before_it_could_be(
    world: SimulatedWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What prepared the wallet lands behind the quote, and is final before anything is signed."""
    monkeypatch.setattr(world.node, "in_flight_max", 1)
    await world.request(world.command("order-1"))
    await world.mine(CONFIRMATIONS)
    await take_prepared_nonce(world, 1, valid_until=world.chain.tip.height + 1)
    honest = world.node.quote

    async def land_meanwhile(payment: Payment) -> Quote:
        quote = await honest(payment)
        monkeypatch.setattr(world.node, "quote", honest)
        await land(world, 1)
        for _ in range(CONFIRMATIONS + 2):
            world.chain.mine()
        await world.follower.catch_up(world.chain.tip)
        await run_stage(world, "confirm_withdrawals")
        return quote

    monkeypatch.setattr(world.node, "quote", land_meanwhile)
    (second,) = await world.request(world.command("order-2"))
    assert second.status == "approved"
    await world.retry()
    assert (await world.withdrawal("order-2")).nonce == 2


async def take_prepared_nonce(world: SimulatedWorld, nonce: int, valid_until: int) -> None:
    async with world.pool.acquire() as conn:
        await wallets_sql.take_prepared_nonce(
            conn, world.network, world.hot_wallet, nonce, valid_until
        )


async def land(world: SimulatedWorld, nonce: int) -> None:
    """Send a transaction of the hot wallet that is kept nowhere."""
    payment = Payment(world.hot_wallet, "0x" + "99" * 20, None, 1)
    unsigned = world.node.build(payment, Quote(9000, nonce, b"", 0, 0), nonce)
    async with world.pool.acquire() as conn:
        path = await conn.fetchval(
            "SELECT key_path FROM addresses WHERE address = $1", world.hot_wallet
        )
    signature = world.signer.sign(path, unsigned.signing_payloads[0], world.node.key_scheme)
    await world.node.broadcast(world.node.assemble(unsigned, (signature,)))


async def test_limits_hold_for_two_workers_at_once_and_an_owner_who_is_no_user(
    world: SimulatedWorld,
) -> None:
    """Commands of one owner lie on two partitions if their producers do not key them as told."""
    await world.credit("carol", world.coin, 10**6)
    await world.pool.execute(
        "UPDATE assets SET withdrawal_count_max_hour = 1 WHERE asset = $1", world.coin
    )
    stage = CheckWithdrawals(world.context)
    first, second = (
        stage.topic.decode(json.dumps(world.command(order_id, owner="carol")).encode())
        for order_id in ("1", "2")
    )

    async def check_second() -> None:
        async with transact(world.context) as work:
            await stage.apply(work, [second], None)

    async with transact(world.context) as work:
        await stage.apply(work, [first], None)
        checking = asyncio.create_task(check_second())
        await until_blocked(world.pool, checking)
    await checking
    assert [w.reason for w in await world.withdrawals()] == [None, "too_many"]


async def test_an_order_that_two_workers_take_at_once_is_one_order(world: SimulatedWorld) -> None:
    stage = CheckWithdrawals(world.context)
    order = stage.topic.decode(json.dumps(world.command("order-1")).encode())

    async def check() -> None:
        async with transact(world.context) as work:
            await stage.apply(work, [order], None)

    async with transact(world.context) as work:
        await stage.apply(work, [order], None)
        checking = asyncio.create_task(check())
        await until_blocked(world.pool, checking)
    with pytest.raises(Retryable):
        await checking
    await check()
    assert len(await world.withdrawals()) == 1
    assert await world.balance("available") == START_MINOR - 100 - FEE_MINOR


async def approve_unsigned(world: SimulatedWorld, *commands: dict[str, Any]) -> list[int]:
    """Let orders be approved, and leave them before the signer."""
    world.send(*commands)
    await run_stage(world, "check_withdrawals")
    return [(await world.withdrawal(command["id"])).withdrawal_id for command in commands]


async def test_who_is_frozen_while_the_signer_waits_for_the_order_is_not_paid(
    world: SimulatedWorld,
) -> None:
    ids = await approve_unsigned(world, world.command("order-1"))
    async with transact(world.context) as work:
        await withdrawals_sql.lock_withdrawals(work.conn, ids, ("approved",))
        signing = asyncio.create_task(world.settle())
        await until_blocked(world.pool, signing)
        async with world.pool.acquire() as conn:
            await ledger_sql.freeze_account(
                conn, world.tenant, "alice", asset=world.coin, reason="court order"
            )
    await signing
    assert (await world.withdrawal("order-1")).status == "approved"


async def test_an_operator_who_cancels_is_in_no_circle_with_the_signer(
    world: SimulatedWorld,
) -> None:
    """It gives back the money of one order of alice's, and waits for another that is cancelled."""
    hopeless, good = world.command("order-1"), world.command("order-2")
    world.chain.reverting.add(hopeless["address"])
    _, cancelled = await approve_unsigned(world, hopeless, good)
    async with transact(world.context) as work:
        await be_impatient(work.conn)
        await withdrawals_sql.lock_withdrawals(work.conn, [cancelled], ("approved",))
        signing = asyncio.create_task(world.settle())
        await until_blocked(world.pool, signing)
        await cancel_withdrawal(work, world.tenant, "order-2", "by hand")
    await signing
    assert [w.status for w in await world.withdrawals()] == ["failed", "failed"]
    assert await world.balance("available") == START_MINOR


async def test_an_operator_who_cancels_is_in_no_circle_with_what_nodes_answer(
    world: SimulatedWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A node that denied the payment takes it at last, as an operator gives it up."""
    with monkeypatch.context() as lie:
        lie.setattr(world.node, "broadcast", deny)
        (order,) = await world.request(world.command("order-1"))
    async with transact(world.context) as work:
        await be_impatient(work.conn)
        await withdrawals_sql.lock_withdrawals(work.conn, [order.withdrawal_id], ("signed",))
        sending = asyncio.create_task(world.retry())
        await until_blocked(world.pool, sending)
        await cancel_withdrawal(work, world.tenant, "order-1", "by hand")
    await sending
    await world.mine(CONFIRMATIONS)
    assert (await world.withdrawal("order-1")).status == "confirmed"
    assert await world.balance("available") == START_MINOR - 100 - FEE_MINOR
