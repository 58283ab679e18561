"""Others at work on the way out: foreign hands on the key, rival workers, lying nodes."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from agents.replace_withdrawals import ReplaceWithdrawals
from agents.runtime.transact import transact
from chain_adapters.types import (
    Broadcast,
    BroadcastOutcome,
    KeyScheme,
    Payment,
    Quote,
    SignedTransaction,
    WrongNetwork,
)
from custody.approve import MayBePaid, cancel_withdrawal
from custody.errors import UnusableKey
from sql import wallets as wallets_sql
from sql.pool import Pool
from tests.support.withdrawals import CONFIRMATIONS, FEE_MINOR, SimulatedWorld

START_MINOR = 10**6


@pytest.fixture
async def world(pool: Pool, database_url: str) -> SimulatedWorld:
    made = SimulatedWorld(pool, database_url)
    await made.start()
    return made


async def wallet_of(world: SimulatedWorld) -> wallets_sql.WalletRow:
    async with world.pool.acquire() as conn:
        return (await wallets_sql.list_wallets(conn, world.tenant))[0]


async def resume(world: SimulatedWorld) -> int | None:
    async with world.pool.acquire() as conn:
        if not await wallets_sql.resume_wallet(conn, world.network, world.tenant):
            return None
    return (await wallet_of(world)).next_nonce


async def cancel(world: SimulatedWorld, order_id: str) -> None:
    async with transact(world.context) as work:
        await cancel_withdrawal(work, world.tenant, order_id, "by hand")
    await world.settle()


async def execute(world: SimulatedWorld, statement: str, *arguments: object) -> None:
    async with world.pool.acquire() as conn:
        await conn.execute(statement, *arguments)


# Foreign hands on the key


async def use_key_elsewhere(world: SimulatedWorld) -> None:
    """Somebody else pays from our hot wallet, and is mined first."""
    nonce = world.chain.state_at(-1).nonce(world.hot_wallet)
    payment = Payment(world.hot_wallet, "0x" + "99" * 20, None, 1)
    unsigned = world.node.build(payment, Quote(9000, nonce, b"", 0, 0), nonce)
    path = "m/44'/60'/0'/1/" + str(await wallet_index(world))
    signature = world.signer.sign(path, unsigned.signing_payloads[0], KeyScheme.SECP256K1)
    await world.node.broadcast(world.node.assemble(unsigned, (signature,)))


async def wallet_index(world: SimulatedWorld) -> int:
    async with world.pool.acquire() as conn:
        return int(
            await conn.fetchval("SELECT wallet_index FROM tenants WHERE tenant = $1", world.tenant)
        )


async def test_a_halted_wallet_is_resumed_behind_the_foreign_nonces(world: SimulatedWorld) -> None:
    await world.request(world.command("order-1"))
    await world.mine(CONFIRMATIONS)
    for _ in range(2):
        await use_key_elsewhere(world)
        await world.mine()
    command = world.command("order-2")
    (waiting,) = await world.request(command)
    halted = await wallet_of(world)
    assert waiting.status == "approved"
    assert (halted.next_nonce, halted.chain_nonce, halted.approved) == (1, 3, 1)
    assert await resume(world) == 3
    await world.retry()
    await world.mine(CONFIRMATIONS)
    assert (await world.withdrawal("order-2")).nonce == 3
    assert world.payments_to(command["address"]) == 1
    assert (await wallet_of(world)).halted_reason is None
    assert await resume(world) is None


async def test_a_new_wallet_that_has_paid_already_is_halted_until_it_is_resumed(
    world: SimulatedWorld,
) -> None:
    """As after a restore that forgot payments: the order of one may be among those at hand."""
    await use_key_elsewhere(world)
    await world.mine()
    command = world.command("order-1")
    (waiting,) = await world.request(command)
    assert waiting.status == "approved"
    reason = (await wallet_of(world)).halted_reason
    assert reason == "the chain expects nonce 1, we gave out 0"
    assert await resume(world) == 1
    await world.retry()
    await world.mine(CONFIRMATIONS)
    assert world.payments_to(command["address"]) == 1


async def test_foreign_use_after_the_halt_halts_again(world: SimulatedWorld) -> None:
    await world.request(world.command("order-1"))
    await world.mine(CONFIRMATIONS)
    await use_key_elsewhere(world)
    await world.mine()
    await world.request(world.command("order-2"))
    await use_key_elsewhere(world)
    await world.mine()
    assert await resume(world) == 2
    await world.retry()
    assert (await world.withdrawal("order-2")).status == "approved"
    assert (await wallet_of(world)).chain_nonce == 3


async def test_a_nonce_taken_from_a_signed_payment_halts_and_has_a_way_out(
    world: SimulatedWorld,
) -> None:
    runners = world.pipeline.runners
    world.pipeline.runners = [r for r in runners if r.stage.name != "broadcast_withdrawals"]
    commands = [world.command("order-1"), world.command("order-2")]
    await world.request(*commands)
    await use_key_elsewhere(world)
    await world.mine(CONFIRMATIONS)
    world.pipeline.runners = runners
    await world.settle()
    await world.mine(CONFIRMATIONS)
    wallet = await wallet_of(world)
    assert wallet.nonce_used == ["order-1"]
    assert wallet.halted_reason == "nonce 0 was used by a transaction that is not ours"
    (third,) = await world.request(world.command("order-3"))
    assert third.status == "approved"
    await cancel(world, "order-1")
    cancelled = await world.withdrawal("order-1")
    assert (cancelled.status, cancelled.reason) == ("failed", "nonce_used")
    assert [a.state for a in await world.attempts("order-1")] == ["superseded"], "never to be sent"
    assert await resume(world) == 2
    await world.retry()
    await world.mine(CONFIRMATIONS)
    assert [world.payments_to(command["address"]) for command in commands] == [0, 1]
    assert (await world.withdrawal("order-3")).status == "confirmed"
    assert (await wallet_of(world)).halted_reason is None
    assert await world.balance("available") == START_MINOR - 2 * (100 + FEE_MINOR)


async def test_a_replaced_payment_is_no_foreign_use(world: SimulatedWorld) -> None:
    await world.request(world.command("order-1"))
    await world.replace_due()
    world.chain.mine()  # the replacement is mined, and our follower does not know yet
    await world.retry()
    assert (await wallet_of(world)).halted_reason is None


@pytest.mark.parametrize("blocks", [0, 1, CONFIRMATIONS])
async def test_a_payment_that_may_land_is_never_cancelled(
    world: SimulatedWorld, blocks: int
) -> None:
    await world.request(world.command("order-1"))
    await world.mine(blocks)
    with pytest.raises(MayBePaid):
        await cancel(world, "order-1")


async def test_a_halted_wallet_signs_no_replacement_either(world: SimulatedWorld) -> None:
    await world.request(world.command("order-1"))
    async with world.pool.acquire() as conn:
        await wallets_sql.halt_wallet(conn, world.network, world.hot_wallet, "for the test", None)
    await world.replace.run_once()
    assert len(await world.attempts("order-1")) == 1


# Rival workers


async def test_two_workers_replace_a_stuck_payment_once(world: SimulatedWorld) -> None:
    await world.request(world.command("order-1"))
    rivals = [ReplaceWithdrawals(world.context, world.signer) for _ in range(3)]
    await asyncio.gather(*(rival.run_once() for rival in rivals))
    assert len(await world.attempts("order-1")) == 2


# Lying nodes


async def test_a_node_that_takes_bytes_and_drops_them_is_asked_again(
    world: SimulatedWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def swallow(_: SignedTransaction) -> Broadcast:
        return Broadcast(BroadcastOutcome.ACCEPTED)

    command = world.command("order-1")
    with monkeypatch.context() as lie:
        lie.setattr(world.node, "broadcast", swallow)
        (order,) = await world.request(command)
    assert order.status == "broadcast"
    await world.retry()
    await world.mine(CONFIRMATIONS)
    assert world.payments_to(command["address"]) == 1


async def test_a_node_that_refuses_and_mines_pays_once(
    world: SimulatedWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = world.node.broadcast

    async def deny(signed: SignedTransaction) -> Broadcast:
        await honest(signed)
        return Broadcast(BroadcastOutcome.REFUSED, "insufficient funds")

    command = world.command("order-1")
    with monkeypatch.context() as lie:
        lie.setattr(world.node, "broadcast", deny)
        (order,) = await world.request(command)
        assert order.status == "signed"
        await world.mine(CONFIRMATIONS)
    assert (await world.withdrawal("order-1")).status == "confirmed"
    await world.check_books()


@pytest.mark.parametrize("call", ["quote", "broadcast"])
async def test_endpoints_of_another_chain_park_no_order(
    world: SimulatedWorld, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    async def elsewhere(*_: object) -> Any:  # noqa: ANN401
        raise WrongNetwork("the node serves chain 5, not 1")

    with monkeypatch.context() as lie:
        lie.setattr(world.node, call, elsewhere)
        await world.request(world.command("order-1"))
    async with world.pool.acquire() as conn:
        topics = f"{world.pipeline.kafka.prefix}withdrawals-%"
        assert not await conn.fetchval(
            "SELECT count(*) FROM dead_letters WHERE topic LIKE $1", topics
        )
    await world.recover()
    await world.check_books()


async def test_one_payment_that_cannot_be_signed_holds_up_no_other(
    world: SimulatedWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = world.command("order-1", 77)
    honest = world.node.build

    def choke(payment: Payment, *rest: Any, **more: Any) -> Any:  # noqa: ANN401
        if payment.amount_minor == 77:
            raise UnusableKey("no key at this index")
        return honest(payment, *rest, **more)

    with monkeypatch.context() as fault:
        fault.setattr(world.node, "build", choke)
        orders = await world.request(bad, world.command("order-2"))
    assert [order.status for order in orders] == ["approved", "broadcast"]
    assert orders[1].nonce == 0
