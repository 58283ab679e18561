"""A process that dies anywhere between the command and the ledger pays once, and only once."""

from __future__ import annotations

import pytest

from sql.pool import Pool
from tests.support.fateful_node import Fate
from tests.support.mortal import Moment
from tests.support.withdrawals import CONFIRMATIONS, SimulatedWorld

FIRST = ("check_withdrawals", "sign_withdrawals")
LATER = ("confirm_withdrawals", "post_ledger")


@pytest.fixture
async def world(pool: Pool, database_url: str) -> SimulatedWorld:
    made = SimulatedWorld(pool, database_url)
    await made.start()
    return made


async def pay_two(world: SimulatedWorld) -> None:
    world.send(world.command("order-1"), world.command("order-2", asset=world.token))
    await world.settle()
    await world.mine(CONFIRMATIONS)
    await world.recover()
    await world.check_books()
    assert [order.status for order in await world.withdrawals()] == ["confirmed"] * 2


@pytest.mark.parametrize("moment", Moment)
@pytest.mark.parametrize("stage", [*FIRST, *LATER])
async def test_a_death_in_any_stage_pays_once(
    world: SimulatedWorld, stage: str, moment: Moment
) -> None:
    world.deaths[stage] = moment
    await pay_two(world)
    assert world.deaths == {}


@pytest.mark.parametrize("moment", Moment)
@pytest.mark.parametrize("fate", Fate)
async def test_a_death_while_sending_pays_once_whatever_the_node_did(
    world: SimulatedWorld, fate: Fate, moment: Moment
) -> None:
    world.deaths["broadcast_withdrawals"] = moment
    world.node.fates.extend([fate] * 2)
    await pay_two(world)
    assert world.deaths == {}


@pytest.mark.parametrize("fate", Fate)
async def test_a_replacement_pays_once_whatever_became_of_the_first(
    world: SimulatedWorld, fate: Fate
) -> None:
    world.node.fates.extend([fate] * 3)
    world.send(world.command("order-1"))
    await world.settle()
    await world.replace_due()
    await world.replace.run_once()
    world.deaths["broadcast_withdrawals"] = Moment.PREPARED
    await world.settle()
    await world.recover()
    await world.check_books()
    assert len(await world.attempts("order-1")) == 3


async def test_a_transaction_mined_before_its_sending_was_recorded_is_recognised(
    world: SimulatedWorld,
) -> None:
    world.node.fates.append(Fate.ANSWER_LOST)
    (order,) = await world.request(world.command("order-1"))
    assert order.status == "signed"
    await world.mine(CONFIRMATIONS)
    assert (await world.withdrawal("order-1")).status == "confirmed"
    await world.retry()
    await world.check_books()
    assert "withdrawal.broadcast" not in world.event_types()
