"""A payment that was given up and lands all the same is seen, booked once, and never paid twice.

Nodes can be wrong about a used nonce, operators too early, and reorganisations deeper than anybody
thought. What is in a block is the truth, whatever was decided before.
"""

from __future__ import annotations

import pytest

from agents.runtime.transact import transact
from chain_adapters.types import Broadcast, BroadcastOutcome, SignedTransaction, Transaction
from chain_adapters.types import Transfer as MovedTransfer
from custody.approve import cancel_withdrawal
from sql import ledger as ledger_sql
from sql import wallets as wallets_sql
from sql.pool import Pool
from tests.support.fateful_node import Fate
from tests.support.withdrawals import CONFIRMATIONS, FEE_MINOR, SimulatedWorld
from topics.events import AccountFrozen

START_MINOR = 10**6
LIFETIME = 5
AMOUNT_MINOR = 100


@pytest.fixture
async def world(pool: Pool, database_url: str) -> SimulatedWorld:
    made = SimulatedWorld(pool, database_url)
    await made.start()
    return made


@pytest.fixture
async def expiring(pool: Pool, database_url: str) -> SimulatedWorld:
    """On a chain like Solana: nothing but expiry keeps two attempts apart."""
    made = SimulatedWorld(pool, database_url)
    made.chain.has_nonces = False
    made.chain.lifetime = LIFETIME
    await made.start()
    return made


async def halted_reason(world: SimulatedWorld) -> str | None:
    async with world.pool.acquire() as conn:
        [wallet] = await wallets_sql.list_wallets(conn, world.tenant)
    return wallet.halted_reason


async def cancel_landed(world: SimulatedWorld, monkeypatch: pytest.MonkeyPatch) -> str:
    """Pay in a block that we have not read, let a node lie, and cancel. Returns the address."""

    async def lie(_: SignedTransaction) -> Broadcast:
        return Broadcast(BroadcastOutcome.NONCE_USED, "nonce too low")

    command = world.command("w")
    await world.request(command)
    world.chain.mine()
    with monkeypatch.context() as patch:
        patch.setattr(world.node, "broadcast", lie)
        await world.retry()
    async with transact(world.context) as work:
        await cancel_withdrawal(work, world.tenant, "w", "by hand")
    await world.settle()
    assert await world.balance("available") == START_MINOR
    return str(command["address"])


async def test_a_cancelled_payment_that_is_in_a_block_takes_its_money_again(
    world: SimulatedWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = await cancel_landed(world, monkeypatch)
    await world.mine(CONFIRMATIONS)
    assert world.payments_to(address) == 1
    assert (await world.withdrawal("w")).status == "confirmed"
    assert await world.balance("available") == START_MINOR - AMOUNT_MINOR - FEE_MINOR
    assert await world.balance("pending") == 0
    assert await world.balance("hot_wallet", owner="") == world.received(world.hot_wallet)
    assert await world.parked_facts() == 0


async def test_a_cancelled_payment_is_sent_no_more(
    world: SimulatedWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    await cancel_landed(world, monkeypatch)
    assert [a.state for a in await world.attempts("w")] == ["superseded"]
    world.node.fates.append(Fate.LANDED)
    await world.resend.run_once()
    world.pipeline.done["broadcast_withdrawals"] = 0  # what was signed is told again, late
    await world.settle()
    assert list(world.node.fates) == [Fate.LANDED], "something was sent"


async def test_what_was_spent_of_money_given_back_too_early_is_owed(
    world: SimulatedWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    await cancel_landed(world, monkeypatch)
    async with world.pool.acquire() as conn:
        await conn.execute("UPDATE nonces SET halted_reason = NULL, chain_nonce = NULL")
        await conn.execute("UPDATE assets SET withdrawal_minor_max = NULL")
        await conn.execute("UPDATE assets SET withdrawal_approval_minor = NULL")
    (spent,) = await world.request(world.command("all", START_MINOR - FEE_MINOR))
    assert spent.status in ("approved", "broadcast")
    await world.mine(CONFIRMATIONS)
    assert await world.balance("receivable") == AMOUNT_MINOR + FEE_MINOR
    (told,) = [event.data for event in world.events() if isinstance(event, AccountFrozen)]
    assert told.owner == "alice"
    assert str(AMOUNT_MINOR + FEE_MINOR) in told.detail
    assert await world.balance("available") == 0
    async with world.pool.acquire() as conn:
        assert await ledger_sql.fetch_imbalances(conn) == []


async def test_a_reopened_payment_can_be_given_up_again_with_its_money(
    world: SimulatedWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cancelled, landed, reorganised away, and its nonce used by somebody else after all."""
    await cancel_landed(world, monkeypatch)
    await world.follow()
    assert (await world.withdrawal("w")).status == "broadcast"
    assert await world.balance("available") == START_MINOR - AMOUNT_MINOR - FEE_MINOR
    world.chain.reorganise(1, keep=False, length=2)
    await world.follow()
    attempt = (await world.attempts("w"))[0]
    assert attempt.state == "broadcast"
    async with world.pool.acquire() as conn:
        await conn.execute(
            "UPDATE transactions SET last_outcome = 'nonce_used' WHERE transaction_id = $1",
            attempt.transaction_id,
        )
    async with transact(world.context) as work:
        await cancel_withdrawal(work, world.tenant, "w", "by hand")
    await world.settle()
    assert await world.balance("available") == START_MINOR
    assert await world.balance("pending") == 0


async def lose(world: SimulatedWorld) -> Transaction:
    """Order a payment that expires; return it as a block would have it after all."""
    world.node.fates.extend([Fate.NOT_LANDED] * 50)
    (withdrawal,) = await world.request(world.command("w"))
    (attempt,) = await world.attempts("w")
    paid = MovedTransfer("value", world.hot_wallet, withdrawal.address, None, AMOUNT_MINOR)
    return Transaction(attempt.transaction_id, world.hot_wallet, True, 1000, (paid,))


async def land_after_all(world: SimulatedWorld) -> None:
    """Have a payment expire and be given up; then a block has it, and is final."""
    landed = await lose(world)
    world.chain.reverting.add((await world.withdrawal("w")).address)
    await world.mine(LIFETIME + CONFIRMATIONS + 1)
    world.node.fates.clear()
    await world.replace_due()
    assert (await world.withdrawal("w")).status == "failed"
    world.chain.include([landed])
    await world.follow()
    await world.mine(CONFIRMATIONS)


async def test_an_expired_payment_that_was_given_up_and_lands_takes_its_money_again(
    expiring: SimulatedWorld,
) -> None:
    await land_after_all(expiring)
    assert (await expiring.withdrawal("w")).status == "confirmed"
    assert await expiring.balance("available") == START_MINOR - AMOUNT_MINOR - FEE_MINOR
    assert await expiring.balance("pending") == 0
    assert await halted_reason(expiring) is None


async def test_a_given_up_payment_that_lands_when_its_nonce_is_given_away_halts_the_wallet(
    expiring: SimulatedWorld,
) -> None:
    """The next payment may have its nonce: whose money that took, an operator has to find out."""
    expiring.chain.has_nonces = True
    await land_after_all(expiring)
    reason = await halted_reason(expiring)
    assert reason is not None
    assert "'w'" in reason
    assert "given up and paid all the same" in reason
    assert (await expiring.withdrawal("w")).status == "failed"
    assert await expiring.balance("available") == START_MINOR


async def renewed(world: SimulatedWorld) -> Transaction:
    """Have a second attempt signed that reached no node; return the first as a block has it."""
    landed = await lose(world)
    await world.mine(LIFETIME + CONFIRMATIONS + 1)
    world.node.fates.clear()
    await world.replace.run_once()
    world.node.fates.extend([Fate.LATE] * 50)
    await world.settle()
    assert [a.state for a in await world.attempts("w")] == ["expired", "signed"]
    return landed


async def test_once_the_expired_one_has_landed_its_successor_is_sent_no_more(
    expiring: SimulatedWorld,
) -> None:
    landed = await renewed(expiring)
    expiring.chain.include([landed])
    await expiring.follow()
    assert [a.state for a in await expiring.attempts("w")] == ["mined", "superseded"]
    expiring.node.fates.clear()
    await expiring.resend.run_once()
    await expiring.mine(CONFIRMATIONS)
    withdrawal = await expiring.withdrawal("w")
    assert withdrawal.status == "confirmed"
    assert expiring.payments_to(withdrawal.address) == 1


async def test_two_payments_of_one_order_halt_the_wallet(expiring: SimulatedWorld) -> None:
    landed = await renewed(expiring)
    expiring.chain.include([landed])
    await expiring.follow()
    await expiring.node.land_late()
    await expiring.mine(CONFIRMATIONS)
    withdrawal = await expiring.withdrawal("w")
    assert expiring.payments_to(withdrawal.address) == 2
    assert withdrawal.status == "confirmed"
    reason = await halted_reason(expiring)
    assert reason is not None
    assert "'w'" in reason
    assert "twice" in reason


async def test_no_third_payment_is_made_while_the_second_may_land(
    expiring: SimulatedWorld,
) -> None:
    """The first landed late and left the chain again: now neither of the two is settled."""
    landed = await renewed(expiring)
    expiring.chain.include([landed])
    await expiring.follow()
    expiring.chain.reorganise(1, keep=False, length=2)
    await expiring.follow()
    assert [a.state for a in await expiring.attempts("w")] == ["broadcast", "superseded"]
    expiring.node.fates.clear()
    await expiring.replace.run_once()
    assert len(await expiring.attempts("w")) == 2
    await expiring.node.land_late()
    await expiring.mine(CONFIRMATIONS)
    await expiring.recover()
    withdrawal = await expiring.withdrawal("w")
    assert withdrawal.status == "confirmed"
    assert expiring.payments_to(withdrawal.address) == 1
