"""What an operator reads of a withdrawal: its amounts, and what an approved one waits for."""

from __future__ import annotations

import pytest

from cli.orders import waits_for
from sql import chain as chain_sql
from sql import ledger as ledger_sql
from sql import wallets as wallets_sql
from sql.pool import Pool
from sql.withdrawals import list_obstacles
from tests.support.command_line import CommandLine
from tests.support.withdrawals import SimulatedWorld


async def shown_to_wait_for(world: SimulatedWorld, millrace: CommandLine) -> list[str]:
    """Return what order-1 waits for, which its status and the list must agree on."""
    of_tenant = ("--tenant", world.tenant)
    status = await millrace.json("withdraw", "status", "order-1", *of_tenant)
    (listed,) = await millrace.json("withdraw", "list", *of_tenant)
    assert status["waits_for"] == listed["waits_for"]
    waiting: list[str] = status["waits_for"]
    return waiting


async def approve_unsigned(world: SimulatedWorld, millrace: CommandLine) -> None:
    """Have order-1 approved by an operator, and let no signer see it yet."""
    await world.request(world.command("order-1", 500_000))
    await millrace.json("withdraw", "approve", "order-1", "--tenant", world.tenant)


async def test_an_approved_withdrawal_that_nothing_holds_up_waits_for_nothing(
    world: SimulatedWorld, millrace: CommandLine
) -> None:
    await world.request(world.command("order-1", 500_000))
    assert await shown_to_wait_for(world, millrace) == [], (
        "it waits for approval, as its status says"
    )
    await millrace.json("withdraw", "approve", "order-1", "--tenant", world.tenant)
    assert await shown_to_wait_for(world, millrace) == []


async def test_everything_that_holds_up_a_withdrawal_is_named(
    world: SimulatedWorld, millrace: CommandLine
) -> None:
    await approve_unsigned(world, millrace)
    await millrace.json("tenant", "suspend", world.tenant)
    async with world.pool.acquire() as conn:
        await ledger_sql.freeze_account(
            conn, world.tenant, "alice", asset=world.coin, reason="court order"
        )
        await chain_sql.halt_network(conn, world.network, "too deep")
        await wallets_sql.lock_nonces(conn, world.network, {world.hot_wallet: 0})
        await wallets_sql.halt_wallet(conn, world.network, world.hot_wallet, "used elsewhere", None)
    assert await shown_to_wait_for(world, millrace) == [
        "tenant_suspended",
        "account_frozen: court order",
        "network_halted: too deep",
        "wallet_halted: used elsewhere",
    ]
    for command in (("status", "order-1"), ("list",)):
        shown = await millrace.run("withdraw", *command, "--tenant", world.tenant)
        assert "account_frozen: court order" in shown.stdout


async def test_a_wallet_that_is_short_by_the_books_is_named_with_what_it_has_left(
    pool: Pool, database_url: str
) -> None:
    world = SimulatedWorld(pool, database_url)
    await world.start(funds_minor=600_000)
    millrace = CommandLine(
        {
            "MILLRACE_CONFIG": "",
            "MILLRACE_DATABASE_URL": database_url,
            "MILLRACE_TOPIC_PREFIX": world.pipeline.kafka.prefix,
        }
    )
    await world.request(world.command("order-0", 200_000))
    await world.request(world.command("order-1", 500_000))
    await millrace.json("withdraw", "approve", "order-1", "--tenant", world.tenant)
    rows = await millrace.json("withdraw", "list", "--tenant", world.tenant)
    found = {row["id"]: (row["status"], row["waits_for"]) for row in rows}
    short = "wallet_short: by the books it has 0.0000000000004"
    assert found == {
        "order-0": ("broadcast", []),
        "order-1": ("approved", [f"{short} {world.coin} left to pay with"]),
    }


async def test_what_the_signer_met_is_named_with_what_to_do_and_the_doctor_counts_it(
    world: SimulatedWorld, millrace: CommandLine
) -> None:
    world.node._fee_minor_max = 0
    await world.request(world.command("order-1"))
    assert await shown_to_wait_for(world, millrace) == [
        "fee_above_cap: the network asks for more than fee_minor_max: wait, or raise it"
    ]
    shown = await millrace.run("withdraw", "status", "order-1", "--tenant", world.tenant)
    assert "fee_above_cap" in shown.stdout
    findings = await millrace.json("doctor", status=1)
    (found,) = [row for row in findings if row["check"] == f"withdrawals {world.network}"]
    assert found["detail"].startswith("1 wait: fee_above_cap, ")
    assert "raise it" in found["remedy"]


async def test_what_ended_since_the_signer_looked_is_named_no_more(
    world: SimulatedWorld, millrace: CommandLine
) -> None:
    await approve_unsigned(world, millrace)
    await millrace.json("tenant", "suspend", world.tenant)
    await world.retry()
    assert await shown_to_wait_for(world, millrace) == ["tenant_suspended"]
    await millrace.json("tenant", "resume", world.tenant)
    assert await shown_to_wait_for(world, millrace) == []


async def test_a_tenant_without_a_hot_wallet_waits_for_one(
    world: SimulatedWorld, millrace: CommandLine
) -> None:
    await approve_unsigned(world, millrace)
    order = await world.withdrawal("order-1")
    async with world.pool.acquire() as conn:
        (found,) = await list_obstacles(conn, [order.withdrawal_id])
    bare = found._replace(wallet=None, free_minor=0)
    assert list(waits_for(order, bare, {})) == ["no_hot_wallet: the signer makes it"]


@pytest.mark.parametrize("verb", ["approve", "reject", "cancel", "status"])
async def test_every_command_shows_amounts_in_both_units_to_people_and_in_one_to_scripts(
    world: SimulatedWorld, millrace: CommandLine, verb: str
) -> None:
    await world.request(world.command("order-1", 500_000))
    of_order = ("order-1", "--tenant", world.tenant)
    if verb == "cancel":
        await millrace.json("withdraw", "approve", *of_order)
    shown = await millrace.run("withdraw", verb, *of_order)
    assert shown.exit_code == 0, shown.stderr
    assert f"500000 (0.0000000000005 {world.coin})" in shown.stdout
    assert "\namount  " not in shown.stdout
    row = await millrace.json("withdraw", "status", *of_order)
    assert (row["amount_minor"], "amount" in row) == ("500000", False)
