"""An operator's way out of a halted wallet, on the command line."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from agents.measure_state import MeasureState
from metrics.catalogue import SHARED_REGISTRY
from sql import wallets as wallets_sql
from tests.support.command_line import CommandLine
from tests.support.withdrawals import CONFIRMATIONS, SimulatedWorld


async def lose_nonce(world: SimulatedWorld, order_id: str) -> None:
    """Sign a payment, and let every node say from now on that its nonce is used."""
    await world.request(world.command(order_id))
    world.chain.pool.clear()
    world.chain.state_at(-1).nonces[world.hot_wallet] = 1
    world.chain.mine(CONFIRMATIONS)
    await world.resend.run_once()
    await world.follow()


async def test_a_wallet_is_shown_with_why_it_is_halted_and_resumed_step_by_step(
    world: SimulatedWorld, millrace: CommandLine
) -> None:
    await lose_nonce(world, "order-1")
    (row,) = await millrace.json("wallet", "status", "--tenant", world.tenant)
    assert row["halted_reason"] == "nonce 0 was used by a transaction that is not ours"
    assert (row["next_nonce"], row["sent"], row["nonce_used"]) == (1, 1, ["order-1"])
    assert "order-1" in (await millrace.run("wallet", "status")).stdout
    early = await millrace.run("wallet", "resume", world.network, world.tenant)
    assert early.exit_code == 1
    assert "millrace withdraw cancel" in early.stderr
    cancel = ["withdraw", "cancel", "order-1", "--tenant", world.tenant, "--detail", "stolen"]
    cancelled = await millrace.json(*cancel)
    assert (cancelled["status"], cancelled["reason"]) == ("failed", "nonce_used")
    resumed = await millrace.json("wallet", "resume", world.network, world.tenant)
    assert (resumed["halted_reason"], resumed["next_nonce"]) == (None, 1)
    (order,) = await world.request(world.command("order-2"))
    assert (order.status, order.nonce) == ("broadcast", 1)
    assert world.event_types().count("withdrawal.failed") == 1


async def test_a_wallet_without_nonces_is_shown_with_what_is_not_ours_until_it_is_resumed(
    world: SimulatedWorld, millrace: CommandLine
) -> None:
    world.chain.has_nonces = False
    strange = [world.chain.charge(world.hot_wallet, 1) for _ in range(2)]
    await world.follow()
    await world.request(world.command("order-1"))
    (row,) = await millrace.json("wallet", "status", "--tenant", world.tenant)
    assert row["not_ours"] == strange
    assert strange[1] in row["halted_reason"]
    resumed = await millrace.json("wallet", "resume", world.network, world.tenant)
    assert (resumed["halted_reason"], resumed["not_ours"]) == (None, [])
    await world.retry()
    assert (await world.withdrawal("order-1")).status == "broadcast"


async def test_only_a_halted_wallet_is_resumed(
    world: SimulatedWorld, millrace: CommandLine
) -> None:
    await world.request(world.command("order-1"))
    going = await millrace.run("wallet", "resume", world.network, world.tenant)
    assert (going.exit_code, "is not halted" in going.stderr) == (1, True)
    unknown = await millrace.run("wallet", "resume", world.network, "nobody")
    assert (unknown.exit_code, "no hot wallet" in unknown.stderr) == (1, True)
    refused = await millrace.run("withdraw", "cancel", "order-1", "--tenant", world.tenant)
    assert (refused.exit_code, "may be mined" in refused.stderr) == (1, True)


async def test_a_halted_wallet_keeps_its_first_reason(world: SimulatedWorld) -> None:
    await world.request(world.command("order-1"))
    async with world.pool.acquire() as conn:
        for reason in ("first", "second"):
            await wallets_sql.halt_wallet(conn, world.network, world.hot_wallet, reason, None)
        (row,) = await wallets_sql.list_wallets(conn, world.tenant)
    assert row.halted_reason == "first"


def use_key_elsewhere(world: SimulatedWorld) -> str:
    """Let somebody else pay from our wallet, in a block; return what the halt has to name."""
    if not world.chain.has_nonces:
        return world.chain.charge(world.hot_wallet, 1)
    nonces = world.chain.state_at(-1).nonces
    used = nonces.get(world.hot_wallet, 0)
    nonces[world.hot_wallet] = used + 1
    world.chain.mine()
    return f"the chain expects nonce {used + 1}, we gave out {used}"


async def halted_by_metric(world: SimulatedWorld) -> float | None:
    """Return how many halted wallets the metric shows that WalletHalted goes by."""
    await MeasureState(world.context).run_once()
    labels = {"network": world.network}
    return SHARED_REGISTRY.get_sample_value("millrace_wallets_halted", labels)


@pytest.mark.parametrize("has_nonces", [True, False])
async def test_a_wallet_that_was_resumed_is_halted_and_told_of_as_the_first_time(
    world: SimulatedWorld, millrace: CommandLine, *, has_nonces: bool
) -> None:
    world.chain.has_nonces = has_nonces
    of_tenant = ("--tenant", world.tenant)
    for time in ("first", "second", "third"):
        cause = use_key_elsewhere(world)
        await world.follow()
        with capture_logs() as lines:
            (order,) = await world.request(world.command(time))
        assert order.status == "approved"
        (row,) = await millrace.json("wallet", "status", *of_tenant)
        reason = row["halted_reason"]
        assert cause in reason
        assert cause in [*row["not_ours"], reason]
        told = [line for line in lines if line["log_level"] == "critical"]
        assert [(line["event"], line["reason"]) for line in told] == [("hot wallet halted", reason)]
        waiting = await millrace.json("withdraw", "status", time, *of_tenant)
        assert waiting["waits_for"] == [f"wallet_halted: {reason}"]
        assert await halted_by_metric(world) == 1
        resumed = await millrace.json("wallet", "resume", world.network, world.tenant)
        found = [resumed[name] for name in ("halted_reason", "chain_nonce", "not_ours")]
        assert found == [None, None, []]
        assert await halted_by_metric(world) == 0
        await world.retry()
        await world.mine(CONFIRMATIONS)
        assert (await world.withdrawal(time)).status == "confirmed"
