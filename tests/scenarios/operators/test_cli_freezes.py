"""An operator's word on the command line: a user's money that stays, a tenant that is suspended."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from agents.runtime.transact import transact
from custody.approve import approve_withdrawal
from ledger import rules
from ledger.chart import REORGANISED_CREDIT
from ledger.post import post
from sql import ledger as ledger_sql
from sql import stream
from tests.support.command_line import CommandLine
from tests.support.races import until_blocked
from tests.support.withdrawals import SimulatedWorld
from topics.events import EVENTS, AccountFrozen, AccountUnfrozen, Event


def alices(world: SimulatedWorld) -> tuple[str, ...]:
    return ("--tenant", world.tenant, "--owner", "alice", "--asset", world.coin)


async def freeze(world: SimulatedWorld, millrace: CommandLine) -> Any:  # noqa: ANN401
    command = ("owner", "freeze", *alices(world), "--reason", "court order", "--actor", "carol")
    return await millrace.json(*command)


async def suspend(world: SimulatedWorld, millrace: CommandLine) -> Any:  # noqa: ANN401
    return await millrace.json("tenant", "suspend", world.tenant)


async def told(world: SimulatedWorld) -> list[Event]:
    """Return the events that the commands left to be published, oldest first."""
    async with world.pool.acquire() as conn:
        waiting = await stream.read_outbox(conn, 0, 100)
    topic = world.pipeline.kafka.prefix + EVENTS.name
    return [e for row in waiting if row.topic == topic for e in EVENTS.decode(row.payload).events]


async def owe(world: SimulatedWorld, amount_minor: int) -> None:
    """Let alice spend a deposit that leaves the chain."""
    names = (world.tenant, "alice", world.coin)
    async with world.pool.acquire() as conn, conn.transaction():
        (balance, _) = await ledger_sql.fetch_balances(conn, world.tenant, "alice")
        spent_minor = balance.available_minor + amount_minor
        results = await post(
            conn,
            [
                rules.deposit_credited(*names, amount_minor, deposit_id=10**9, revision=0),
                rules.withdrawal_held(*names, spent_minor, fee_minor=0, withdrawal_id=10**9),
                rules.deposit_reversed(*names, amount_minor, deposit_id=10**9, revision=0),
            ],
        )
    assert results[-1].shortfall_minor == amount_minor


async def test_a_frozen_users_orders_are_refused_and_wait_until_the_operator_lets_go(
    world: SimulatedWorld, millrace: CommandLine
) -> None:
    waiting = world.command("order-1", 500_000)
    await world.request(waiting)

    row = await freeze(world, millrace)
    assert (row["frozen_reason"], row["frozen_by"]) == ("court order", "carol")
    (refused,) = await world.request(world.command("order-2"))
    assert (refused.status, refused.reason) == ("rejected", "account_frozen")
    async with transact(world.context) as work:
        await approve_withdrawal(work, world.tenant, "order-1", "dave")
    await world.settle()
    assert (await world.withdrawal("order-1")).status == "approved"

    freed = await millrace.json("owner", "unfreeze", *alices(world), "--detail", "settled")
    assert (freed["frozen_at"], freed["frozen_reason"], freed["frozen_by"]) == (None, None, None)
    await world.retry()
    assert (await world.withdrawal("order-1")).status == "broadcast"


async def test_who_is_frozen_before_any_money_came_is_frozen_when_it_comes(
    world: SimulatedWorld, millrace: CommandLine
) -> None:
    bobs = ("--tenant", world.tenant, "--owner", "bob", "--asset", world.coin)
    await millrace.json("owner", "freeze", *bobs, "--reason", "court order")
    await world.credit("bob", world.coin, 1_000)
    (refused,) = await world.request(world.command("order-1", owner="bob"))
    assert (refused.status, refused.reason) == ("rejected", "account_frozen")
    (alices_order,) = await world.request(world.command("order-2"))
    assert alices_order.status == "broadcast"


async def test_subscribers_hear_who_froze_what_and_why(
    world: SimulatedWorld, millrace: CommandLine
) -> None:
    await freeze(world, millrace)
    await millrace.json("owner", "unfreeze", *alices(world), "--detail", "settled", "--actor", "d")
    frozen, freed = await told(world)
    assert isinstance(frozen, AccountFrozen)
    assert isinstance(freed, AccountUnfrozen)
    data = [(e.data.reason, e.data.detail, e.data.decided_by) for e in (frozen, freed)]
    assert data == [("operator", "court order", "carol"), ("operator", "settled", "d")]
    assert {(e.tenant, e.data.owner, e.data.asset) for e in (frozen, freed)} == {
        (world.tenant, "alice", world.coin)
    }


async def test_who_still_owes_stays_frozen_for_the_debt_and_is_told_so(
    world: SimulatedWorld, millrace: CommandLine
) -> None:
    await owe(world, 70)
    early = await millrace.run("owner", "unfreeze", *alices(world))
    assert (early.exit_code, "debt of 70 minor units" in early.stderr) == (1, True)
    assert "ends by itself" in early.stderr
    assert await told(world) == []

    await freeze(world, millrace)
    result = await millrace.run("owner", "unfreeze", *alices(world))
    assert result.exit_code == 0
    assert "Still frozen: alice owes 0.00000000000000007" in result.stderr
    assert REORGANISED_CREDIT in result.stdout
    events = await told(world)
    assert [(type(e), e.data.reason) for e in events if isinstance(e, AccountFrozen)] == [
        (AccountFrozen, "operator"),
        (AccountFrozen, REORGANISED_CREDIT),
    ]
    assert len(events) == 2


async def test_who_owes_is_let_go_and_told_so_when_a_refused_order_pays_the_debt(
    world: SimulatedWorld, millrace: CommandLine
) -> None:
    (waiting,) = await world.request(world.command("order-1", 700_000))
    assert waiting.status == "awaiting_approval"
    await owe(world, 70)
    rejecting = ("withdraw", "reject", "order-1", "--tenant", world.tenant, "--detail", "no")
    assert (await millrace.run(*rejecting, "--actor", "carol")).exit_code == 0
    (freed,) = [e for e in await told(world) if isinstance(e, AccountUnfrozen)]
    assert (freed.tenant, freed.data.owner, freed.data.asset) == alices(world)[1::2]
    assert (freed.data.reason, freed.data.decided_by) == (REORGANISED_CREDIT, None)


async def test_a_freeze_waits_for_the_posting_that_runs_and_is_read_by_the_next(
    world: SimulatedWorld, millrace: CommandLine
) -> None:
    def hold(withdrawal_id: int) -> list[Any]:
        return [
            rules.withdrawal_held(
                world.tenant, "alice", world.coin, 7, fee_minor=0, withdrawal_id=withdrawal_id
            )
        ]

    async with world.pool.acquire() as conn, conn.transaction():
        await post(conn, hold(10**9))
        freezing = asyncio.create_task(freeze(world, millrace))
        await until_blocked(world.pool, freezing)
    assert (await freezing)["frozen_reason"] == "court order"
    async with world.pool.acquire() as conn, conn.transaction():
        (late,) = await post(conn, hold(10**9 + 1))
    assert (late.outcome.value, late.detail) == ("frozen", "court order")


@pytest.mark.parametrize("word", ["freeze", "suspend"])
async def test_when_the_command_returns_nothing_is_being_signed_any_more(
    world: SimulatedWorld, millrace: CommandLine, word: str
) -> None:
    """Who signs has seen that nothing is frozen, and has not committed yet."""
    await world.request(world.command("order-1"))
    async with world.pool.acquire() as conn, conn.transaction():
        await conn.execute("SELECT FROM nonces WHERE sender = $1 FOR UPDATE", world.hot_wallet)
        signing = asyncio.create_task(world.request(world.command("order-2")))
        await until_blocked(world.pool, signing)
        stop = freeze if word == "freeze" else suspend
        stopping = asyncio.create_task(stop(world, millrace))
        await until_blocked(world.pool, stopping, waiting=2)
    await stopping
    assert (await world.withdrawal("order-2")).status in ("signed", "broadcast")
    await signing
    (refused,) = await world.request(world.command("order-3"))
    assert refused.status == "rejected"


async def test_of_two_freezes_at_once_the_second_is_told_of_the_first(
    world: SimulatedWorld, millrace: CommandLine
) -> None:
    command = ("owner", "freeze", *alices(world), "--actor", "dave", "--reason", "a doubt")
    async with world.pool.acquire() as conn, conn.transaction():
        await ledger_sql.freeze_account(
            conn, world.tenant, "alice", asset=world.coin, reason="court order", frozen_by="carol"
        )
        second = asyncio.create_task(millrace.run(*command))
        await until_blocked(world.pool, second)
    result = await second
    assert (result.exit_code, "frozen already by carol: court order" in result.stderr) == (1, True)
    assert await told(world) == []


@pytest.mark.parametrize(
    ("slip", "words"),
    [
        ({"--tenant": "nobody"}, "no tenant 'nobody'"),
        ({"--owner": "mallory"}, "no user 'mallory'"),
        ({"--asset": "EHT"}, "no asset 'EHT'"),
        ({"--reason": " "}, "1 to 300"),
        ({"--reason": "x" * 301}, "1 to 300"),
        ({"--reason": REORGANISED_CREDIT}, "the ledger's own"),
    ],
)
async def test_what_cannot_be_frozen_is_told(
    world: SimulatedWorld, millrace: CommandLine, slip: dict[str, str], words: str
) -> None:
    names = dict(zip(alices(world)[::2], alices(world)[1::2], strict=True))
    options = names | {"--reason": "court order"} | slip
    result = await millrace.run("owner", "freeze", *(w for o in options.items() for w in o))
    assert result.exit_code in (1, 2)
    assert words in result.stderr
    assert await told(world) == []


async def test_what_is_not_frozen_cannot_be_let_go(
    world: SimulatedWorld, millrace: CommandLine
) -> None:
    for _ in range(2):
        result = await millrace.run("owner", "unfreeze", *alices(world))
        assert (result.exit_code, "is not frozen" in result.stderr) == (1, True)
    assert await told(world) == []


async def test_a_suspended_tenants_orders_are_refused_and_wait_until_it_is_resumed(
    world: SimulatedWorld, millrace: CommandLine
) -> None:
    await world.request(world.command("order-1", 500_000))
    suspended = await suspend(world, millrace)
    assert suspended["status"] == "suspended"
    (refused,) = await world.request(world.command("order-2"))
    assert (refused.status, refused.reason) == ("rejected", "tenant_suspended")
    approve = ("withdraw", "approve", "order-1", "--tenant", world.tenant)
    approved = await millrace.json(*approve)
    assert (approved["status"], approved["waits_for"]) == ("approved", ["tenant_suspended"])
    await world.retry()
    assert (await world.withdrawal("order-1")).status == "approved"

    assert (await millrace.json("tenant", "resume", world.tenant))["status"] == "active"
    await world.retry()
    assert (await world.withdrawal("order-1")).status == "broadcast"


async def test_only_an_active_tenant_is_suspended_and_only_a_suspended_one_resumed(
    world: SimulatedWorld, millrace: CommandLine
) -> None:
    early = await millrace.run("tenant", "resume", world.tenant)
    assert (early.exit_code, "is active, not suspended" in early.stderr) == (1, True)
    await suspend(world, millrace)
    again = await millrace.run("tenant", "suspend", world.tenant)
    assert (again.exit_code, "is suspended, not active" in again.stderr) == (1, True)
    unknown = await millrace.run("tenant", "suspend", "nobody")
    assert (unknown.exit_code, "no tenant 'nobody'" in unknown.stderr) == (1, True)
    async with world.pool.acquire() as conn:
        await conn.execute("UPDATE tenants SET status = 'deleted' WHERE tenant = $1", world.tenant)
    gone = await millrace.run("tenant", "resume", world.tenant)
    assert (gone.exit_code, "is deleted" in gone.stderr) == (1, True)
