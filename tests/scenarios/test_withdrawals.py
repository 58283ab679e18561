"""Withdrawals from the command to the ledger: real stages and Postgres on a simulated chain."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from agents.runtime.transact import transact
from chain_adapters.simulated import Mischief
from custody.approve import NotWaiting, approve_withdrawal, reject_withdrawal
from sql.pool import Pool
from sql.withdrawals import Withdrawal
from tests.support.withdrawals import CONFIRMATIONS, FEE_MINOR, TOKEN, SimulatedWorld
from topics.events import event_type

START_MINOR = 10**6


@pytest.fixture
async def world(pool: Pool, database_url: str) -> SimulatedWorld:
    made = SimulatedWorld(pool, database_url)
    await made.start()
    return made


async def test_an_order_is_paid_once_and_told_step_by_step(world: SimulatedWorld) -> None:
    command = world.command("order-1", 100)
    (sent,) = await world.request(command)
    assert sent.status == "broadcast"
    assert await world.balance("available") == START_MINOR - 100 - FEE_MINOR
    assert await world.balance("pending") == 100 + FEE_MINOR
    await world.mine(CONFIRMATIONS)
    assert (await world.withdrawal("order-1")).status == "confirmed"
    assert world.received(command["address"]) == 100
    assert await world.balance("pending") == 0
    assert await world.balance("withdrawal_fees", owner="") == FEE_MINOR
    assert world.event_types() == [
        "withdrawal.requested",
        "withdrawal.approved",
        "withdrawal.signed",
        "withdrawal.broadcast",
        "withdrawal.confirmed",
    ]


async def test_it_is_not_confirmed_one_block_too_early(world: SimulatedWorld) -> None:
    await world.request(world.command("order-1"))
    await world.mine(CONFIRMATIONS - 1)
    assert (await world.withdrawal("order-1")).status == "broadcast"
    await world.mine()
    assert (await world.withdrawal("order-1")).status == "confirmed"


async def test_tokens_are_paid_too(world: SimulatedWorld) -> None:
    command = world.command("order-1", 70, asset=world.token)
    await world.request(command)
    await world.mine(CONFIRMATIONS)
    assert world.received(command["address"], TOKEN) == 70
    assert await world.balance("available", world.token) == START_MINOR - 70


async def test_a_repeated_command_changes_nothing(world: SimulatedWorld) -> None:
    command = world.command("order-1")
    await world.request(command, command)
    told = world.event_types()
    shuffled = dict(reversed(command.items()))
    await world.request(shuffled, command)
    await world.mine(CONFIRMATIONS)
    await world.request(command)
    assert world.payments_to(command["address"]) == 1
    assert world.event_types() == [*told, "withdrawal.confirmed"]
    assert len(await world.withdrawals()) == 1


async def test_another_order_under_a_used_id_is_refused(world: SimulatedWorld) -> None:
    await world.request(world.command("order-1", 100), world.command("order-1", 101))
    await world.request(world.command("order-1", 102))
    assert world.rejections() == [("order-1", "idempotency_conflict")] * 2
    assert [w.amount_minor for w in await world.withdrawals()] == [100]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"asset": "GOLD"}, "unknown_asset"),
        ({"address": "0xdeadbeef"}, "invalid_address"),
        ({"address": "0x52908400098527886e0F7030069857D2E4169EE8"}, "invalid_address"),
        ({"amount_minor": "0"}, "amount_not_positive"),
        ({"amount_minor": "-5"}, "amount_not_positive"),
        ({"amount_minor": "9"}, "below_minimum"),
        ({"amount_minor": "1000001"}, "above_maximum"),
        ({"amount_minor": "999999"}, "insufficient_funds"),
        ({"owner": "nobody"}, "insufficient_funds"),
    ],
)
async def test_an_order_that_cannot_be_done_is_refused_and_kept(
    world: SimulatedWorld, changes: dict[str, Any], reason: str
) -> None:
    command = world.command("order-1") | changes
    (withdrawal,) = await world.request(command)
    await world.request(command)
    assert (withdrawal.status, withdrawal.reason) == ("rejected", reason)
    assert world.rejections() == [("order-1", reason)]
    assert await world.balance("available") == START_MINOR


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"amount_minor": 100}, "bad_field:amount_minor"),
        ({"amount_minor": "1e3"}, "bad_field:amount_minor"),
        ({"amount_minor": "0100"}, "bad_field:amount_minor"),
        ({"amount_minor": None}, "bad_field:amount_minor"),
        ({"owner": ""}, "bad_field:owner"),
        ({"owner": "al\0ice"}, "bad_field:owner"),
        ({"id": ""}, "bad_field:id"),
        ({"id": "with space"}, "bad_field:id"),
        ({"type": "withdrawal.cancel"}, "bad_field:type"),
        ({"priority": "high"}, "bad_field:priority"),
        ({"tenant": "who"}, "unknown_tenant"),
    ],
)
async def test_what_is_no_order_is_answered_and_not_kept(
    world: SimulatedWorld, changes: dict[str, Any], reason: str
) -> None:
    world.send(world.command("order-1") | changes, world.command("order-2"))
    await world.settle()
    assert [given for _, given in world.rejections()] == [reason]
    assert [w.idempotency_key for w in await world.withdrawals()] == ["order-2"]


@pytest.mark.parametrize(
    "raw", [b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"id": "x"}', b'{"tenant": 5}', b"[" * 9999]
)
async def test_what_names_no_tenant_is_parked_and_the_rest_goes_on(
    world: SimulatedWorld, raw: bytes
) -> None:
    world.send(world.command("order-1"), raw, world.command("order-2"))
    await world.settle()
    assert [w.status for w in await world.withdrawals()] == ["broadcast", "broadcast"]
    topic = f"{world.pipeline.kafka.prefix}withdrawal-commands"
    async with world.pool.acquire() as conn:
        parked = await conn.fetch("SELECT payload FROM dead_letters WHERE topic = $1", topic)
    assert [row["payload"] for row in parked] == [raw]


async def test_a_suspended_tenant_pays_nothing(world: SimulatedWorld) -> None:
    async with world.pool.acquire() as conn:
        await conn.execute(
            "UPDATE tenants SET status = 'suspended' WHERE tenant = $1", world.tenant
        )
    (withdrawal,) = await world.request(world.command("order-1"))
    assert (withdrawal.status, withdrawal.reason) == ("rejected", "tenant_suspended")


async def test_our_own_addresses_are_no_destination(world: SimulatedWorld) -> None:
    (withdrawal,) = await world.request(world.command("order-1", address=world.hot_wallet))
    assert (withdrawal.status, withdrawal.reason) == ("rejected", "own_address")


async def test_a_frozen_account_pays_nothing(world: SimulatedWorld) -> None:
    async with world.pool.acquire() as conn:
        await conn.execute(
            "UPDATE accounts SET frozen_reason = 'by hand', frozen_at = now()"
            " WHERE tenant = $1 AND owner = 'alice' AND asset = $2 AND bucket = 'available'",
            world.tenant,
            world.coin,
        )
    (withdrawal,) = await world.request(world.command("order-1"))
    assert (withdrawal.status, withdrawal.reason) == ("rejected", "account_frozen")


async def test_limits_count_the_orders_of_the_same_batch(world: SimulatedWorld) -> None:
    async with world.pool.acquire() as conn:
        await conn.execute(
            "UPDATE assets SET withdrawal_minor_max_day = 250, withdrawal_count_max_hour = 3"
            " WHERE asset = $1",
            world.coin,
        )
    orders = await world.request(
        world.command("order-1", 999_999),  # not covered, so it does not count
        world.command("order-2", 100),
        world.command("order-3", 100),
        world.command("order-4", 100),
        world.command("order-5", 50),
        world.command("order-6", 0),
    )
    assert [(w.status, w.reason) for w in orders] == [
        ("rejected", "above_daily_limit"),
        ("broadcast", None),
        ("broadcast", None),
        ("rejected", "above_daily_limit"),
        ("broadcast", None),
        ("rejected", "amount_not_positive"),
    ]
    (fourth,) = await world.request(world.command("order-7", 10))
    assert fourth.reason == "above_daily_limit"


async def decide(world: SimulatedWorld, order_id: str, *, approve: bool) -> Withdrawal:
    async with transact(world.context) as work:
        if approve:
            return await approve_withdrawal(work, world.tenant, order_id, "carol")
        return await reject_withdrawal(work, world.tenant, order_id, "carol", "looks odd")


async def test_a_large_order_waits_for_an_operator(world: SimulatedWorld) -> None:
    command = world.command("order-1", 500_000)
    (withdrawal,) = await world.request(command)
    assert withdrawal.status == "awaiting_approval"
    await decide(world, "order-1", approve=True)
    await world.settle()
    await world.mine(CONFIRMATIONS)
    confirmed = await world.withdrawal("order-1")
    assert (confirmed.status, confirmed.decided_by) == ("confirmed", "carol")
    assert world.received(command["address"]) == 500_000
    assert world.event_types()[1:3] == ["withdrawal.awaiting_approval", "withdrawal.approved"]


async def test_a_refused_order_gives_the_money_back(world: SimulatedWorld) -> None:
    await world.request(world.command("order-1", 500_000))
    await decide(world, "order-1", approve=False)
    await world.settle()
    assert await world.balance("available") == START_MINOR
    assert world.rejections() == [("order-1", "rejected_by_operator")]
    with pytest.raises(NotWaiting):
        await decide(world, "order-1", approve=True)


async def test_of_two_operators_the_first_decides(world: SimulatedWorld) -> None:
    await world.request(world.command("order-1", 500_000))
    answers = await asyncio.gather(
        decide(world, "order-1", approve=True),
        decide(world, "order-1", approve=False),
        return_exceptions=True,
    )
    assert [type(answer) for answer in answers if isinstance(answer, Exception)] == [NotWaiting]


async def test_a_payment_the_chain_would_refuse_gives_the_money_back(
    world: SimulatedWorld,
) -> None:
    command = world.command("order-1")
    world.chain.reverting.add(command["address"])
    (withdrawal,) = await world.request(command)
    assert (withdrawal.status, withdrawal.reason) == ("failed", "recipient_reverts")
    assert await world.balance("available") == START_MINOR
    assert world.event_types()[-1] == "withdrawal.failed"
    assert await world.next_nonce() == 0


async def test_a_payment_mined_without_effect_gives_the_money_back(world: SimulatedWorld) -> None:
    command = world.command("order-1")
    await world.request(command)
    world.chain.reverting.add(command["address"])
    await world.mine(CONFIRMATIONS)
    failed = await world.withdrawal("order-1")
    assert (failed.status, failed.reason) == ("failed", "failed_on_chain")
    assert await world.balance("available") == START_MINOR
    assert world.event_types()[-1] == "withdrawal.failed"
    command = world.command("order-2")
    await world.request(command)
    await world.mine(CONFIRMATIONS)
    assert world.received(command["address"]) == 100


async def test_an_empty_hot_wallet_delays_and_is_told_once(pool: Pool, database_url: str) -> None:
    world = SimulatedWorld(pool, database_url)
    await world.start(funds_minor=1)
    command = world.command("order-1")
    (withdrawal,) = await world.request(command)
    await world.retry()
    assert withdrawal.status == "approved"
    low = [event for event in world.events() if event_type(event) == "hot_wallet.low"]
    assert len(low) == 2
    assert len({event.id for event in low}) == 1
    world.chain.mint(world.hot_wallet, None, 10**6)
    await world.resend.run_once()
    await world.follow()
    await world.mine(CONFIRMATIONS)
    assert world.received(command["address"]) == 100


@pytest.mark.parametrize("depth", [1, 2, 5, 20])
@pytest.mark.parametrize("keep", [True, False])
async def test_a_settled_payment_whose_block_leaves_is_settled_anew(
    world: SimulatedWorld, depth: int, *, keep: bool
) -> None:
    command = world.command("order-1")
    await world.mine(20)
    await world.request(command)
    await world.mine(max(depth, CONFIRMATIONS))
    world.chain.reorganise(max(depth, CONFIRMATIONS), keep=keep, length=depth + CONFIRMATIONS)
    await world.follow()
    await world.resend.run_once()
    await world.mine(CONFIRMATIONS)
    withdrawal = await world.withdrawal("order-1")
    assert (withdrawal.status, withdrawal.revision) == ("confirmed", 1)
    outcomes = ["withdrawal.confirmed", "withdrawal.reversed", "withdrawal.confirmed"]
    assert [told for told in world.event_types() if told in outcomes] == outcomes
    await world.check_books()
    assert await world.balance("available") == START_MINOR - 100 - FEE_MINOR


async def test_a_stuck_payment_is_replaced_at_its_nonce(world: SimulatedWorld) -> None:
    command = world.command("order-1")
    await world.request(command)
    for _ in range(3):
        await world.replace_due()
    await world.mine(CONFIRMATIONS)
    attempts = await world.attempts("order-1")
    assert [attempt.nonce for attempt in attempts] == [0] * 4
    assert [attempt.state for attempt in attempts] == ["superseded"] * 3 + ["mined"]
    assert world.payments_to(command["address"]) == 1
    assert world.event_types().count("withdrawal.replaced") == 3


async def test_the_first_attempt_is_recognised_if_it_lands_after_all(
    world: SimulatedWorld,
) -> None:
    command = world.command("order-1")
    await world.request(command)
    world.node.order_mischief([Mischief.UNAVAILABLE] * 2)  # no quote now, no answer later
    await world.replace.run_once()
    assert len(await world.attempts("order-1")) == 1
    world.node.mischief.clear()
    await world.replace.run_once()
    world.node.order_mischief([Mischief.UNAVAILABLE])
    await world.settle()
    await world.mine(CONFIRMATIONS)
    attempts = await world.attempts("order-1")
    assert [attempt.state for attempt in attempts] == ["mined", "superseded"]
    assert world.payments_to(command["address"]) == 1


async def test_a_reorganisation_may_land_the_other_attempt(world: SimulatedWorld) -> None:
    command = world.command("order-1")
    await world.mine(5)
    await world.request(command)
    first = world.chain.pool[0]
    await world.replace_due()
    await world.mine(CONFIRMATIONS)
    assert (await world.withdrawal("order-1")).status == "confirmed"
    world.chain.reorganise(CONFIRMATIONS, keep=False, length=1)
    world.chain.pool = [first]
    world.chain.mine(CONFIRMATIONS)
    await world.follow()
    attempts = await world.attempts("order-1")
    assert [attempt.state for attempt in attempts] == ["mined", "superseded"]
    assert (await world.withdrawal("order-1")).revision == 1
    assert world.payments_to(command["address"]) == 1


async def test_one_silent_answer_holds_up_no_other_payment(world: SimulatedWorld) -> None:
    commands = [world.command(f"order-{number}") for number in range(5)]
    world.node.order_mischief([Mischief.UNAVAILABLE])
    orders = await world.request(*commands)
    assert sorted(w.status for w in orders) == ["approved"] + ["broadcast"] * 4
    await world.retry()
    await world.mine(CONFIRMATIONS)
    assert [world.received(command["address"]) for command in commands] == [100] * 5


async def test_a_wallet_used_by_somebody_else_is_halted(world: SimulatedWorld) -> None:
    await world.request(world.command("order-1"))
    await world.mine(CONFIRMATIONS)
    world.chain.state_at(-1).nonces[world.hot_wallet] = 7
    (withdrawal,) = await world.request(world.command("order-2"))
    assert withdrawal.status == "approved"
    async with world.pool.acquire() as conn:
        reason = await conn.fetchval(
            "SELECT halted_reason FROM nonces WHERE sender = $1", world.hot_wallet
        )
    assert reason == "the chain expects nonce 7, we gave out 1"


async def test_a_thousand_events_have_ids_of_their_own(world: SimulatedWorld) -> None:
    await world.request(*[world.command(f"order-{number}") for number in range(40)])
    await world.mine(CONFIRMATIONS)
    ids = [event.id for event in world.events()]
    assert len(ids) == len(set(ids)) >= 200
