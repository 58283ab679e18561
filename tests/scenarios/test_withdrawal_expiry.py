"""Withdrawals on chains whose transactions expire: never two payments, never a lost one."""

from __future__ import annotations

import msgspec
import pytest

from agents.confirm_withdrawals import ConfirmWithdrawals
from agents.parts.expiry import final_clock
from agents.replace_withdrawals import ReplaceWithdrawals
from chain_adapters.types import (
    Block,
    Broadcast,
    BroadcastOutcome,
    Payment,
    Quote,
    SignedTransaction,
)
from metrics.catalogue import REGISTRY
from sql import chain as chain_sql
from sql import wallets as wallets_sql
from sql.pool import Pool
from tests.support.fateful_node import Fate
from tests.support.withdrawals import CONFIRMATIONS, SimulatedWorld

LIFETIME = 5


@pytest.fixture(params=["with nonces", "without nonces"])
async def world(request: pytest.FixtureRequest, pool: Pool, database_url: str) -> SimulatedWorld:
    opened = SimulatedWorld(pool, database_url)
    opened.chain.has_nonces = request.param == "with nonces"
    opened.chain.lifetime = LIFETIME
    await opened.start()
    return opened


async def lose(world: SimulatedWorld, order_id: str) -> None:
    """Order a withdrawal whose transaction reaches no node."""
    world.node.fates.extend([Fate.NOT_LANDED] * 50)
    [withdrawal] = await world.request(world.command(order_id))
    assert withdrawal.status == "signed"


async def pass_expiry(world: SimulatedWorld) -> None:
    """Mine until what was signed can land no more, and all know it."""
    await world.mine(LIFETIME + CONFIRMATIONS + 1)


async def test_nothing_new_is_signed_before_the_old_one_has_expired_for_good(
    world: SimulatedWorld,
) -> None:
    await lose(world, "w")
    for _ in range(LIFETIME + CONFIRMATIONS):
        await world.replace.run_once()
        assert len(await world.attempts("w")) == 1
        await world.mine()
    await world.mine()
    world.node.fates.clear()
    await world.replace.run_once()
    assert [a.state for a in await world.attempts("w")] == ["expired", "signed"]


async def test_nothing_has_expired_for_good_beyond_what_the_network_calls_final(
    world: SimulatedWorld,
) -> None:
    await world.mine(2 * world.chain.finality_depth)
    config = world.context.settings.network(world.network)
    clocks = {}
    async with world.pool.acquire() as conn:
        for finality in ("depth", "safe", "finalized"):
            asked = config.model_copy(update={"finality": finality})
            clocks[finality] = await final_clock(conn, asked)
    tip = world.chain.tip  # whose clock is its height
    deep = tip.height - CONFIRMATIONS + 1
    assert clocks == {"depth": deep, "safe": tip.safe_height, "finalized": tip.finalized_height}


async def test_an_expired_payment_is_made_once_by_another_transaction(
    world: SimulatedWorld,
) -> None:
    await lose(world, "w")
    await pass_expiry(world)
    world.node.fates.clear()
    await world.replace_due()
    await world.recover()
    assert (await world.withdrawal("w")).status == "confirmed"
    assert world.payments_to((await world.withdrawal("w")).address) == 1


async def test_a_payment_that_a_node_took_and_forgot_expires_too(world: SimulatedWorld) -> None:
    await world.request(world.command("w"))
    world.chain.pool.clear()
    await pass_expiry(world)
    await world.replace.run_once()
    assert [a.state for a in await world.attempts("w")] == ["expired", "signed"]


async def test_a_payment_that_landed_unseen_is_not_made_again(world: SimulatedWorld) -> None:
    world.node.fates.append(Fate.ANSWER_LOST)
    await world.request(world.command("w"))
    await pass_expiry(world)
    await world.replace_due()
    assert len(await world.attempts("w")) == 1
    assert (await world.withdrawal("w")).status == "confirmed"
    assert world.payments_to((await world.withdrawal("w")).address) == 1


async def test_a_payment_in_a_block_we_have_not_read_is_not_made_again(
    world: SimulatedWorld,
) -> None:
    world.node.fates.append(Fate.ANSWER_LOST)
    await world.request(world.command("w"))
    world.chain.mine(LIFETIME + CONFIRMATIONS + 1)
    await world.replace.run_once()
    assert len(await world.attempts("w")) == 1


async def test_a_payment_in_a_block_that_was_pruned_unsearched_is_not_made_again(
    world: SimulatedWorld,
) -> None:
    runners = world.pipeline.runners
    await world.request(world.command("w"))
    held_up = [one for one in runners if one.stage.name != ConfirmWithdrawals.name]
    world.pipeline.runners = held_up  # its role is down; its records wait in Kafka
    await pass_expiry(world)
    async with world.pool.acquire() as conn:
        await chain_sql.prune_blocks(conn, world.network, CONFIRMATIONS)
    world.pipeline.runners = runners
    await world.mine()
    await world.replace_due()
    assert (await world.withdrawal("w")).status == "confirmed"
    assert len(await world.attempts("w")) == 1


async def test_a_payment_in_a_block_that_was_read_without_it_is_not_made_again(
    world: SimulatedWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetch = world.node.fetch_block

    async def fetch_without_transactions(height: int) -> Block | None:
        block = await fetch(height)
        return block and msgspec.structs.replace(block, transactions=())

    monkeypatch.setattr(world.node, "fetch_block", fetch_without_transactions)
    await world.request(world.command("w"))
    await pass_expiry(world)
    await world.replace_due()
    await world.mine(LIFETIME)
    assert world.payments_to((await world.withdrawal("w")).address) == 1
    if not world.chain.has_nonces:
        doubts = {"network": world.network}
        assert REGISTRY.get_sample_value("millrace_withdrawal_doubts_total", doubts)


async def test_without_a_nonce_nothing_is_paid_again_before_a_node_refuses_the_old_bytes(
    world: SimulatedWorld,
) -> None:
    await lose(world, "w")
    await pass_expiry(world)
    for attempts in (1, 2):
        await world.replace.run_once()
        has_nonce = (await world.withdrawal("w")).nonce is not None
        assert len(await world.attempts("w")) == (2 if has_nonce else attempts)
        world.node.fates.clear()


@pytest.mark.parametrize("outcome", [BroadcastOutcome.ACCEPTED, BroadcastOutcome.NONCE_USED])
async def test_and_no_other_answer_than_a_refusal_says_that_they_cannot_land(
    world: SimulatedWorld, monkeypatch: pytest.MonkeyPatch, outcome: BroadcastOutcome
) -> None:
    async def answer(_: SignedTransaction) -> Broadcast:
        return Broadcast(outcome)

    await lose(world, "w")
    await pass_expiry(world)
    world.node.fates.clear()
    with monkeypatch.context() as node:
        node.setattr(world.node, "broadcast", answer)
        await world.replace.run_once()
    has_nonce = (await world.withdrawal("w")).nonce is not None
    assert len(await world.attempts("w")) == (2 if has_nonce else 1)
    assert await world.tried("w") == 2


async def test_what_expired_and_can_never_be_paid_gives_the_money_back(
    world: SimulatedWorld,
) -> None:
    await lose(world, "w")
    held = await world.balance("available")
    withdrawal = await world.withdrawal("w")
    world.chain.reverting.add(withdrawal.address)
    await pass_expiry(world)
    world.node.fates.clear()
    await world.replace.run_once()
    failed = await world.withdrawal("w")
    assert (failed.status, failed.reason) == ("failed", "recipient_reverts")
    assert await world.balance("available") == held + withdrawal.amount_minor + withdrawal.fee_minor
    assert await world.balance("pending") == 0


async def test_a_nonce_before_that_of_another_payment_is_not_given_away(
    world: SimulatedWorld,
) -> None:
    await lose(world, "w")
    await lose(world, "later")
    world.chain.reverting.add((await world.withdrawal("w")).address)
    next_nonce = await world.next_nonce()
    await pass_expiry(world)
    world.node.fates.clear()
    await world.replace.run_once()
    assert (await world.withdrawal("w")).status == "failed"
    assert await world.next_nonce() == next_nonce


async def test_what_was_given_up_is_sent_no_more(world: SimulatedWorld) -> None:
    await lose(world, "w")
    world.chain.reverting.add((await world.withdrawal("w")).address)
    await pass_expiry(world)
    world.node.fates.clear()
    await world.replace.run_once()
    assert [a.state for a in await world.attempts("w")] == ["expired"]
    world.node.fates.append(Fate.LANDED)
    await world.resend.run_once()
    assert list(world.node.fates) == [Fate.LANDED], "something was sent"


async def test_of_a_halted_wallet_nothing_is_given_up_either(world: SimulatedWorld) -> None:
    """What somebody has to look into is not ended, and no money given back, behind his back."""
    await lose(world, "w")
    world.chain.reverting.add((await world.withdrawal("w")).address)
    await pass_expiry(world)
    world.node.fates.clear()
    async with world.pool.acquire() as conn:
        await wallets_sql.halt_wallet(conn, world.network, world.hot_wallet, "for the test", None)
    await world.replace.run_once()
    assert (await world.withdrawal("w")).status == "signed"


async def test_expired_payments_whose_successors_would_be_one_transaction_have_one_each(
    world: SimulatedWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipient = world.command("any")["address"]
    world.node.fates.extend([Fate.NOT_LANDED] * 50)
    await world.request(*(world.command(name, address=recipient) for name in ("w", "v")))
    await pass_expiry(world)
    world.node.fates.clear()
    honest, same = world.node.quote, []

    async def quote_alike(payment: Payment) -> Quote:
        same.append(await honest(payment))
        return same[0]

    with monkeypatch.context() as chance:
        chance.setattr(world.node, "quote", quote_alike)
        await world.replace_due()
    await world.mine()
    await world.replace_due()
    await world.recover()
    assert {w.status for w in await world.withdrawals()} == {"confirmed"}
    assert world.payments_to(recipient) == 2


async def test_what_another_worker_replaced_while_a_node_said_it_can_never_be_paid_is_not_given_up(
    world: SimulatedWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the new attempt no node was asked whether it has landed; it has expired meanwhile too."""
    await lose(world, "w")
    recipient = (await world.withdrawal("w")).address
    await pass_expiry(world)
    world.node.fates.clear()
    honest = world.node.quote

    async def refuse_meanwhile(payment: Payment) -> Quote:
        monkeypatch.setattr(world.node, "quote", honest)
        await ReplaceWithdrawals(world.context, world.signer).run_once()
        world.node.fates.extend([Fate.NOT_LANDED] * 50)
        await pass_expiry(world)
        world.chain.reverting.add(recipient)
        return await honest(payment)

    monkeypatch.setattr(world.node, "quote", refuse_meanwhile)
    await world.replace.run_once()
    assert len(await world.attempts("w")) == 2
    assert (await world.withdrawal("w")).status == "signed"


async def test_the_nonce_of_what_was_given_up_pays_the_next_withdrawal(
    world: SimulatedWorld,
) -> None:
    await lose(world, "w")
    world.chain.reverting.add((await world.withdrawal("w")).address)
    await pass_expiry(world)
    world.node.fates.clear()
    await world.replace.run_once()
    [following] = await world.request(world.command("next"))
    await world.mine(CONFIRMATIONS)
    assert (await world.withdrawal("next")).status == "confirmed"
    assert world.payments_to(following.address) == 1


async def test_one_payment_at_a_time_where_the_chain_wants_it(world: SimulatedWorld) -> None:
    world.node.in_flight_max = 1
    await world.request(*(world.command(f"w{n}") for n in range(4)))
    for number in range(1, 5):
        signed = [w for w in await world.withdrawals() if w.status != "approved"]
        assert len(signed) == number
        await world.mine()
    await world.mine(CONFIRMATIONS)
    assert {w.status for w in await world.withdrawals()} == {"confirmed"}


@pytest.mark.parametrize("blocks_before", [0, CONFIRMATIONS])
async def test_a_payment_that_comes_back_gives_its_money_back_and_no_other(
    world: SimulatedWorld, blocks_before: int
) -> None:
    await world.request(world.command("other"))
    held = await world.balance("available")
    [withdrawal] = await world.request(world.command("w"))
    await world.mine(1 + blocks_before)
    if blocks_before:
        assert (await world.withdrawal("w")).status == "confirmed"
    bring_back(world, withdrawal.address)
    await world.mine(CONFIRMATIONS + 1)
    failed = await world.withdrawal("w")
    assert failed.status == "failed"
    assert (await world.withdrawal("other")).status == "confirmed"
    assert await world.balance("available") == held
    assert await world.balance("pending") == 0
    world.pipeline.done["confirm_withdrawals"] = 0  # all blocks are told again
    await world.settle()
    assert (await world.withdrawal("w")).revision == failed.revision


async def test_what_lands_of_one_payment_leaves_the_transactions_of_others_alone(
    world: SimulatedWorld,
) -> None:
    world.node.fates.extend([Fate.LANDED, Fate.NOT_LANDED])
    await world.request(world.command("w"))
    await world.request(world.command("lost"))
    await world.mine()
    states = {name: [a.state for a in await world.attempts(name)] for name in ("w", "lost")}
    assert states == {"w": ["mined"], "lost": ["signed"]}


def bring_back(world: SimulatedWorld, address: str) -> None:
    """Let the next block return what an address was paid."""
    paid = next(
        transaction.id
        for block in world.chain.blocks
        for transaction in block.transactions
        for transfer in transaction.transfers
        if transfer.address == address
    )
    world.chain.return_payment(paid)
