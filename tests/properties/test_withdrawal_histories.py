"""Whatever happens, in whatever order: one payment a command, books that agree with the chain."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Sequence
from typing import NamedTuple

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agents.runtime.record import Record
from sql.pool import Pool
from tests.support.fateful_node import Fate
from tests.support.mortal import Moment
from tests.support.withdrawals import SimulatedWorld

STAGES = (
    "check_withdrawals",
    "sign_withdrawals",
    "broadcast_withdrawals",
    "confirm_withdrawals",
    "post_ledger",
)


class Step(NamedTuple):
    """One thing that happens. `number` picks which order, how many blocks, and the like."""

    what: str
    number: int = 0
    detail: str = ""


steps = st.one_of(
    st.builds(Step, st.just("order"), st.integers(1, 40), st.sampled_from(["coin", "token"])),
    st.builds(Step, st.just("again"), st.integers(0, 9), st.sampled_from(["same", "other"])),
    st.builds(Step, st.just("fate"), st.integers(1, 3), st.sampled_from(list(Fate))),
    st.builds(
        Step,
        st.just("death"),
        st.integers(0, len(STAGES) - 1),
        st.sampled_from(list(Moment)),
    ),
    st.builds(Step, st.just("disorder"), st.integers(0, 10**6)),
    st.builds(Step, st.just("mine"), st.integers(1, 3)),
    st.builds(Step, st.just("reorganise"), st.integers(1, 6), st.sampled_from(["keep", "drop"])),
    st.builds(Step, st.just("refuse"), st.integers(0, 9)),
    st.builds(Step, st.sampled_from(["resend", "replace", "late", "settle"])),
)


def disorder(seed: int) -> Callable[[Sequence[Record]], Sequence[Sequence[Record]]]:
    """Deliver each record once or twice, in any order, in batches of any size."""
    chance = random.Random(seed)

    def deliver(records: Sequence[Record]) -> Sequence[Sequence[Record]]:
        mixed = [record for record in records for _ in range(chance.choice((1, 1, 2)))]
        chance.shuffle(mixed)
        size = chance.randint(1, 4)
        return [mixed[start : start + size] for start in range(0, len(mixed), size)]

    return deliver


class History:
    """Plays steps in a world."""

    def __init__(self, world: SimulatedWorld) -> None:
        self.world = world
        self.commands: list[dict[str, str]] = []
        self.base_height = world.chain.tip.height

    async def play(self, step: Step) -> None:
        await getattr(self, f"_{step.what}")(step)

    async def _order(self, step: Step) -> None:
        asset = self.world.coin if step.detail == "coin" else self.world.token
        order_id = f"order-{len(self.commands)}"
        command = self.world.command(order_id, 10 * step.number, asset=asset)
        self.commands.append(command)
        self.world.send(command)

    async def _again(self, step: Step) -> None:
        if self.commands:
            command = self.commands[step.number % len(self.commands)]
            other = {"amount_minor": "11"} if step.detail == "other" else {}
            self.world.send(command | other)

    async def _fate(self, step: Step) -> None:
        self.world.node.fates.extend([Fate(step.detail)] * step.number)

    async def _death(self, step: Step) -> None:
        self.world.deaths[STAGES[step.number]] = Moment(step.detail)

    async def _disorder(self, step: Step) -> None:
        self.world.pipeline.deliver = disorder(step.number)

    async def _mine(self, step: Step) -> None:
        await self.world.mine(step.number)

    async def _reorganise(self, step: Step) -> None:
        depth = min(step.number, self.world.chain.tip.height - self.base_height)
        if depth > 0:
            self.world.chain.reorganise(depth, keep=step.detail == "keep", length=depth + 1)
            await self.world.follow()

    async def _refuse(self, step: Step) -> None:
        if self.commands:
            address = self.commands[step.number % len(self.commands)]["address"]
            self.world.chain.reverting ^= {address}

    async def _resend(self, step: Step) -> None:
        await self.world.resend.run_once()

    async def _replace(self, step: Step) -> None:
        await self.world.replace.run_once()

    async def _late(self, step: Step) -> None:
        await self.world.node.land_late()

    async def _settle(self, step: Step) -> None:
        await self.world.settle()


@settings(
    max_examples=int(os.environ.get("FAULTS_EXAMPLES", "15")),
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(history=st.lists(steps, min_size=5, max_size=25))
async def test_any_history_pays_each_command_once_and_the_books_agree(
    pool: Pool, database_url: str, history: list[Step]
) -> None:
    world = SimulatedWorld(pool, database_url)
    await world.start()
    player = History(world)
    for step in history:
        await player.play(step)
    await world.recover()
    await world.check_books()
    orders = await world.withdrawals()
    assert sorted(o.idempotency_key for o in orders) == sorted(c["id"] for c in player.commands)
