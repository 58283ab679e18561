"""A replacement that a restored database forgot is booked, and lands beside no other."""

from __future__ import annotations

import pytest

from agents.by_operator.adoption import NotAdoptable
from chain_adapters.types import Broadcast, BroadcastOutcome, SignedTransaction
from sql import wallets as wallets_sql
from sql.pool import Pool
from tests.support.forgotten import (
    adopt,
    check_wallet,
    halted,
    pay_before,
    replace_before,
    stop_signer,
)
from tests.support.withdrawals import CONFIRMATIONS, SimulatedWorld


@pytest.fixture
async def world(pool: Pool, database_url: str) -> SimulatedWorld:
    made = SimulatedWorld(pool, database_url)
    await made.start()
    return made


async def take_all(_: SignedTransaction) -> Broadcast:
    """Answer as a node does for which nothing has expired yet."""
    return Broadcast(BroadcastOutcome.ACCEPTED)


async def test_a_forgotten_replacement_is_booked_once_the_first_has_lost_its_nonce(
    world: SimulatedWorld,
) -> None:
    [order] = await world.request(world.command("order", 700))
    transaction_id = await replace_before(world, order)
    await world.mine(CONFIRMATIONS)
    with pytest.raises(NotAdoptable, match="signed here, and that may be mined any moment"):
        await adopt(world, "order", transaction_id)
    await world.retry()
    assert "was used by a transaction that is not ours" in str(await halted(world))
    await adopt(world, "order", transaction_id)
    await world.mine()
    states = [attempt.state for attempt in await world.attempts("order")]
    assert ((await world.withdrawal("order")).status, states) == (
        "confirmed",
        ["superseded", "mined"],
    )
    assert world.event_types()[-2:] == ["withdrawal.replaced", "withdrawal.confirmed"]
    async with world.pool.acquire() as conn:
        await wallets_sql.resume_wallet(conn, world.network, world.tenant)
    await check_wallet(world)
    world.chain.reorganise(CONFIRMATIONS + 1, keep=False)
    await world.mine()
    await world.retry()
    await world.replace_due()
    await world.mine(CONFIRMATIONS)
    assert (await world.withdrawal("order")).status == "confirmed"
    assert world.payments_to(order.address) == 1
    await check_wallet(world)


async def test_where_payments_expire_a_forgotten_one_is_booked_once_the_others_have(
    pool: Pool, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = SimulatedWorld(pool, database_url)
    world.chain.has_nonces, world.chain.lifetime = False, 10
    await world.start()
    [order] = await world.request(world.command("order", 700))
    [swallowed] = world.chain.pool
    world.chain.pool.clear()
    stop_signer(world)
    transaction_id = await pay_before(world, order)
    await world.mine(CONFIRMATIONS)
    with pytest.raises(NotAdoptable, match="signed here, and that may be mined any moment"):
        await adopt(world, "order", transaction_id)
    assert world.chain.pool == [], "what may land is not sent again"
    await world.mine(10 + CONFIRMATIONS)
    with monkeypatch.context() as patch:
        patch.setattr(world.node, "broadcast", take_all)
        with pytest.raises(NotAdoptable, match="signed here, and that may be mined any moment"):
            await adopt(world, "order", transaction_id)
    await adopt(world, "order", transaction_id)
    await world.mine()
    states = [attempt.state for attempt in await world.attempts("order")]
    assert ((await world.withdrawal("order")).status, states) == (
        "confirmed",
        ["expired", "mined"],
    )
    assert swallowed.id == (await world.attempts("order"))[0].transaction_id
    await world.replace_due()
    assert world.payments_to(order.address) == 1
    await check_wallet(world)
