"""Payments that a restored database forgot are not made again where no nonce tells of them."""

from __future__ import annotations

import msgspec
import pytest

from agents.by_operator.rescan_blocks import RescanBlocks
from agents.match_deposits import MatchDeposits
from agents.replace_withdrawals import ReplaceWithdrawals
from chain_adapters.types import Block
from sql import chain as chain_sql
from sql import wallets as wallets_sql
from sql.pool import Pool
from sql.wallets import WalletRow
from tests.support.fateful_node import Fate
from tests.support.forgotten import adopt, pay_before, start_signer, stop_signer
from tests.support.withdrawals import CONFIRMATIONS, SimulatedWorld

LIFETIME = 5
OF_A_WALLET = {
    "foreign_transactions": "address",
    "network_costs": "address",
    "deposits": "address",
    "nonces": "sender",
    "addresses": "address",
}
"""Tables with rows of a wallet, and the column that names it."""
ELSEWHERE = "0x" + "99" * 20


@pytest.fixture
async def world(pool: Pool, database_url: str) -> SimulatedWorld:
    """A chain on which nothing but expiry tells a wallet's payments apart."""
    made = SimulatedWorld(pool, database_url)
    made.chain.has_nonces = False
    made.chain.lifetime = LIFETIME
    await made.start()
    return made


async def wallet_of(world: SimulatedWorld) -> WalletRow:
    async with world.pool.acquire() as conn:
        [wallet] = await wallets_sql.list_wallets(conn, world.tenant)
    return wallet


async def resume(world: SimulatedWorld) -> bool:
    async with world.pool.acquire() as conn:
        return await wallets_sql.resume_wallet(conn, world.network, world.tenant)


async def forget_payment(world: SimulatedWorld, order_id: str) -> str:
    """Order what is paid already, by a transaction that we know nothing of; return its id."""
    stop_signer(world)
    [order] = await world.request(world.command(order_id))
    transaction_id = await pay_before(world, order)
    await world.mine(CONFIRMATIONS)
    return transaction_id


async def paid(world: SimulatedWorld, order_id: str) -> int:
    return world.payments_to((await world.withdrawal(order_id)).address)


async def waits_for(world: SimulatedWorld, order_id: str) -> str | None:
    order = await world.withdrawal(order_id)
    reason: str | None = await world.pool.fetchval(
        "SELECT waits_for FROM withdrawals WHERE withdrawal_id = $1", order.withdrawal_id
    )
    return reason


def hold_up_search(world: SimulatedWorld) -> None:
    """Let blocks be followed and not searched."""
    runners = world.pipeline.runners
    world.pipeline.runners = [one for one in runners if one.stage.name != MatchDeposits.name]


# At the signer


async def test_an_order_whose_payment_was_forgotten_is_not_paid_again(
    world: SimulatedWorld,
) -> None:
    transaction_id = await forget_payment(world, "w")
    await start_signer(world)
    await world.retry()
    await world.mine(CONFIRMATIONS)
    assert await paid(world, "w") == 1
    assert await waits_for(world, "w") == "wallet_halted"
    wallet = await wallet_of(world)
    assert wallet.not_ours == [transaction_id]
    height = world.chain.tip.height - 2 * CONFIRMATIONS + 1
    assert wallet.halted_reason == f"transaction {transaction_id} in block {height} is not ours"


async def test_what_was_booked_to_its_order_needs_no_other_account(world: SimulatedWorld) -> None:
    await adopt(world, "w", await forget_payment(world, "w"))
    await start_signer(world)
    await world.request(world.command("next"))
    await world.mine(CONFIRMATIONS)
    assert ((await wallet_of(world)).halted_reason, (await wallet_of(world)).not_ours) == (None, [])
    for order_id in ("w", "next"):
        assert (await world.withdrawal(order_id)).status == "confirmed"
        assert await paid(world, order_id) == 1


async def test_a_transaction_that_cost_nothing_is_seen_as_well(world: SimulatedWorld) -> None:
    """TRON has some, and so has an installation that does not list the native asset."""
    free = world.chain.charge(world.hot_wallet, 0)
    await world.follow()
    [order] = await world.request(world.command("w"))
    assert order.status == "approved"
    assert (await wallet_of(world)).not_ours == [free]


async def test_a_wallet_signs_again_when_all_that_it_was_halted_for_is_accounted_for(
    world: SimulatedWorld,
) -> None:
    strange = [world.chain.charge(world.hot_wallet, 1) for _ in range(3)]
    await world.follow()
    await world.request(world.command("w"))
    reason = (await wallet_of(world)).halted_reason
    assert reason is not None
    assert reason.startswith("3 transactions are not ours, the newest is ")
    assert strange[-1] in reason
    assert await resume(world)
    assert not await resume(world)
    await world.recover()
    assert await paid(world, "w") == 1
    assert (await wallet_of(world)).halted_reason is None


async def test_what_came_after_the_halt_halts_again(world: SimulatedWorld) -> None:
    world.chain.charge(world.hot_wallet, 1)
    await world.follow()
    await world.request(world.command("w"))
    later = world.chain.charge(world.hot_wallet, 1)
    await world.follow()
    assert await resume(world)
    await world.retry()
    assert (await world.withdrawal("w")).status == "approved"
    assert later in str((await wallet_of(world)).halted_reason)


async def test_a_halt_for_another_reason_accounts_for_what_was_seen_by_then(
    world: SimulatedWorld,
) -> None:
    await world.request(world.command("w"))
    world.chain.charge(world.hot_wallet, 1)
    await world.follow()
    async with world.pool.acquire() as conn:
        await wallets_sql.halt_wallet(conn, world.network, world.hot_wallet, "paid twice", None)
    assert await resume(world)
    [order] = await world.request(world.command("next"))
    assert order.status == "broadcast"


async def test_what_left_the_chain_was_signed_by_somebody_all_the_same(
    world: SimulatedWorld,
) -> None:
    strange = world.chain.charge(world.hot_wallet, 1)
    await world.follow()
    world.chain.reorganise(1)
    await world.mine()
    await world.request(world.command("w"))
    assert (await wallet_of(world)).not_ours == [strange]
    assert await waits_for(world, "w") == "wallet_halted"


async def test_a_rescan_finds_what_was_missed(
    world: SimulatedWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As of a wallet that was forgotten with its tenant, and given out again."""

    async def fetch_empty(height: int) -> Block | None:
        block = await fetch(height)
        return block and msgspec.structs.replace(block, transactions=())

    fetch = world.node.fetch_block
    strange = world.chain.charge(world.hot_wallet, 0)
    with monkeypatch.context() as patch:
        patch.setattr(world.node, "fetch_block", fetch_empty)
        await world.follow()
    rescan = RescanBlocks(world.context, world.adapter)
    await rescan.start()
    height = world.chain.tip.height
    await rescan.rescan(height, height, lambda _: None)
    await world.request(world.command("w"))
    assert (await wallet_of(world)).not_ours == [strange]


async def test_other_wallets_go_on(world: SimulatedWorld) -> None:
    world.chain.charge(ELSEWHERE, 1)
    await world.follow()
    [order] = await world.request(world.command("w"))
    assert order.status == "broadcast"


async def test_where_nonces_count_them_nothing_else_is_asked(pool: Pool, database_url: str) -> None:
    """TON's wallets pay for what they receive: that is no use of their key."""
    counted = SimulatedWorld(pool, database_url)
    await counted.start()
    counted.chain.charge(counted.hot_wallet, 1)
    await counted.follow()
    [first] = await counted.request(counted.command("first"))
    counted.chain.charge(counted.hot_wallet, 1)
    await counted.follow()
    [second] = await counted.request(counted.command("second"))
    assert (first.status, second.status) == ("broadcast", "broadcast")
    assert (await wallet_of(counted)).not_ours == []


# Before the blocks are searched


async def test_a_signer_that_begins_waits_until_the_blocks_before_it_are_searched(
    world: SimulatedWorld,
) -> None:
    stop_signer(world)
    [order] = await world.request(world.command("w"))
    await pay_before(world, order)
    world.chain.mine(CONFIRMATIONS)
    world.pipeline.stages = world._stages()
    await world.pipeline.start()
    hold_up_search(world)
    await world.follow()
    await world.retry()
    assert await waits_for(world, "w") == "unsearched_blocks"
    await world.pipeline.start()  # of the same signer
    await world.settle()
    await world.retry()
    assert await waits_for(world, "w") == "wallet_halted"
    assert await paid(world, "w") == 1


async def test_a_signer_that_has_begun_does_not_wait_for_every_block(world: SimulatedWorld) -> None:
    await world.request(world.command("first"))
    hold_up_search(world)
    await world.mine(CONFIRMATIONS)
    [order] = await world.request(world.command("second"))
    assert order.status == "broadcast"


async def test_records_of_blocks_that_a_restored_database_has_not_followed_search_nothing(
    world: SimulatedWorld,
) -> None:
    """Kafka has them still; the follower publishes these blocks once more."""
    async with world.pool.acquire() as conn:
        before = await chain_sql.read_cursor(conn, world.network)
        forked = world.chain.tip.height
    world.chain.mine(3)
    await world.follow()
    async with world.pool.acquire() as conn:
        await chain_sql.remove_blocks(conn, world.network, forked + 1)
        await conn.execute("DELETE FROM cursors WHERE network = $1", world.network)
        await chain_sql.move_cursor(conn, world.network, forked, world.chain.tip)
        await chain_sql.mark_matched(conn, world.network, forked)
    await world.restart({})
    await world.settle()
    async with world.pool.acquire() as conn:
        restored = await chain_sql.read_cursor(conn, world.network)
    assert before is not None
    assert restored is not None
    assert restored.matched_height == before.matched_height == forked
    world.follower = await world.pipeline.follower(world.network)
    await world.follow()
    async with world.pool.acquire() as conn:
        followed = await chain_sql.read_cursor(conn, world.network)
    assert followed is not None
    assert followed.matched_height == world.chain.tip.height


# A wallet that was forgotten itself


async def forget_wallet(world: SimulatedWorld) -> None:
    """Restore the database of a time before the wallet was made: its key is at hand alone."""
    async with world.pool.acquire() as conn, conn.transaction():
        await conn.execute("SET LOCAL session_replication_role = replica")
        for table, column in OF_A_WALLET.items():
            await conn.execute(
                f"DELETE FROM {table} WHERE network = $1 AND {column} = $2",
                world.network,
                world.hot_wallet,
            )


async def test_a_wallet_that_was_forgotten_and_made_again_pays_nothing_before_a_rescan(
    world: SimulatedWorld,
) -> None:
    """Blocks were searched while nobody knew that it is ours: none shows its money, or payments."""
    transaction_id = await forget_payment(world, "w")
    await forget_wallet(world)
    await start_signer(world)
    await world.retry()
    await world.mine(CONFIRMATIONS)
    assert await paid(world, "w") == 1
    assert (await wallet_of(world)).address == world.hot_wallet
    assert await waits_for(world, "w") == "unsearched_blocks"
    rescan = RescanBlocks(world.context, world.adapter)
    await rescan.start()
    await rescan.rescan(0, world.chain.tip.height, lambda _: None)
    await world.retry()
    assert await waits_for(world, "w") == "wallet_halted"
    assert (await wallet_of(world)).not_ours == [transaction_id]
    assert await paid(world, "w") == 1


# At the replacing of what expired


async def lose(world: SimulatedWorld, order_id: str) -> None:
    """Sign a payment that reaches no node, and let it expire for good."""
    world.node.fates.extend([Fate.NOT_LANDED] * 50)
    await world.request(world.command(order_id))
    await world.mine(LIFETIME + CONFIRMATIONS + 1)
    world.node.fates.clear()


async def test_a_second_attempt_that_was_forgotten_is_not_made_again(
    world: SimulatedWorld,
) -> None:
    await lose(world, "w")
    transaction_id = await pay_before(world, await world.withdrawal("w"))
    await world.mine(CONFIRMATIONS)
    await world.replace_due()
    assert len(await world.attempts("w")) == 1
    assert transaction_id in str((await wallet_of(world)).halted_reason)
    await world.replace_due()
    assert await paid(world, "w") == 1


async def test_what_has_expired_is_not_made_anew_before_the_blocks_are_searched(
    world: SimulatedWorld,
) -> None:
    await lose(world, "w")
    hold_up_search(world)
    await world.mine()
    replace = ReplaceWithdrawals(world.context, world.signer)
    await replace.run_once()
    assert len(await world.attempts("w")) == 1
    await world.pipeline.start()
    await world.settle()
    await replace.run_once()
    assert len(await world.attempts("w")) == 2


async def test_money_is_not_given_back_for_what_a_forgotten_attempt_paid(
    world: SimulatedWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    await lose(world, "w")
    order = await world.withdrawal("w")
    transaction_id = await pay_before(world, order)
    await world.mine(CONFIRMATIONS)
    world.chain.reverting.add(order.address)  # nobody can pay there any more
    await world.replace_due()
    assert (await world.withdrawal("w")).status == "signed"
    assert transaction_id in str((await wallet_of(world)).halted_reason)


async def test_money_is_not_given_back_before_the_blocks_are_searched(
    world: SimulatedWorld,
) -> None:
    await lose(world, "w")
    world.chain.reverting.add((await world.withdrawal("w")).address)
    hold_up_search(world)
    await world.mine()
    replace = ReplaceWithdrawals(world.context, world.signer)
    await replace.run_once()
    assert (await world.withdrawal("w")).status == "signed"
    await world.pipeline.start()
    await world.settle()
    await replace.run_once()
    assert (await world.withdrawal("w")).status == "failed"
