"""Whatever is replaced, forgotten, reorganised or killed, in whatever order: coins pay once."""

from __future__ import annotations

import os
from typing import NamedTuple

from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from devstack.chains.bitcoin import BitcoinNode
from devstack.postgres import Postgres
from sql import transactions as transactions_sql
from tests.support.coin_withdrawals import PayingCoinWorld, Spending, open_coin_world
from tests.support.mortal import Moment

STAGES = ("sign_withdrawals", "broadcast_withdrawals", "confirm_withdrawals", "match_deposits")
FUNDS = (1_000_000, 1_000_000, 400_500, 20_000)
"""A coin that is hardly enough, and one that helps out."""
ONE_COIN = FUNDS[:1]
"""Every payment spends the change of the one before."""


class Step(NamedTuple):
    """One thing that happens; `number` says how much, or which."""

    what: str
    number: int = 0
    detail: str = ""


steps = st.one_of(
    st.builds(
        Step,
        st.just("order"),
        st.sampled_from([15_000, 400_000, 700_000]),
        st.sampled_from(["", "renewed"]),
    ),
    st.builds(Step, st.just("mine"), st.integers(1, 3)),
    st.builds(Step, st.just("reorganise"), st.integers(1, 4)),
    st.builds(Step, st.just("land"), st.integers(0, 9)),
    st.builds(Step, st.just("stray"), st.integers(1, 4), st.sampled_from("0123456789")),
    st.builds(
        Step, st.just("death"), st.integers(0, len(STAGES) - 1), st.sampled_from(list(Moment))
    ),
    st.builds(Step, st.just("branch"), st.integers(1, 4), st.sampled_from("0123456789")),
    st.builds(Step, st.sampled_from(["replace", "resend", "forget"])),
)


class History:
    """Plays steps in a world."""

    def __init__(self, world: PayingCoinWorld, base_height: int) -> None:
        self.world = world
        self.base_height = base_height
        self.orders = 0

    async def play(self, step: Step) -> None:
        await getattr(self, f"_{step.what}")(step)

    async def _order(self, step: Step) -> None:
        self.orders += 1
        await self.world.request(self.world.command(f"order-{self.orders}", step.number))
        if step.detail == "renewed":
            await self._replace(step)

    async def _mine(self, step: Step) -> None:
        await self.world.mine(step.number)

    async def _reorganise(self, step: Step) -> None:
        depth = min(step.number, await self.world.node.height() - self.base_height)
        if depth > 0:
            await self.world.reorganise(depth)

    async def _land(self, step: Step) -> None:
        """Of all that we send, one alone reaches a miner."""
        sent = await self._sent()
        if sent:
            await self.world.node.chain.clear_pool()
            await self.world.submit(sent[step.number % len(sent)])
            await self.world.mine()

    async def _stray(self, step: Step) -> None:
        """On another branch, of all that we ever signed, given up or not, one alone is mined."""
        await self._reorganise(step)
        signed = await self.world.spendings()
        if signed:
            await self.world.submit(signed[int(step.detail) % len(signed)])
            await self.world.mine()

    async def _branch(self, step: Step) -> None:
        """What two orders need to be mined one upon the other, and that branch to be left."""
        await self._order(Step("order", 15_000, "renewed"))
        await self.world.mine()
        await self._order(Step("order", 15_000))
        await self._stray(step)

    async def _sent(self) -> list[Spending]:
        spendings = await self.world.spendings()
        async with self.world.pool.acquire() as conn:
            rows = await transactions_sql.sendable_transactions(
                conn, self.world.network, [one.transaction_id for one in spendings]
            )
        ids = {row.transaction_id for row in rows}
        return [one for one in spendings if one.transaction_id in ids]

    async def _death(self, step: Step) -> None:
        self.world.deaths[STAGES[step.number]] = Moment(step.detail)

    async def _replace(self, _: Step) -> None:
        await self.world.replace.run_once()
        await self.world.settle()

    async def _resend(self, _: Step) -> None:
        await self.world.resend.run_once()
        await self.world.settle()

    async def _forget(self, _: Step) -> None:
        await self.world.node.chain.clear_pool()


@settings(
    max_examples=int(os.environ.get("FAULTS_EXAMPLES", "8")),
    # All histories share one node, which forgets nothing: here always the same ones, in the long
    # campaign others each time.
    derandomize="FAULTS_EXAMPLES" not in os.environ,
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(funds=st.sampled_from([FUNDS, ONE_COIN]), history=st.lists(steps, min_size=6, max_size=20))
async def test_any_history_of_coins_pays_each_order_once_or_gives_it_up_and_the_books_agree(
    postgres: Postgres,
    template_database: str,
    bitcoin_node: BitcoinNode,
    funds: tuple[int, ...],
    history: list[Step],
) -> None:
    async with open_coin_world(postgres, template_database, bitcoin_node) as world:
        await world.fund(*funds)
        player = History(world, await world.node.height())
        for step in history:
            await player.play(step)
            await world.check_no_double_payment()
        world.deaths.clear()
        await world.fund(*[10**6] * player.orders)
        await world.finish()
        await world.check_no_double_payment()
        await world.check_books()
        for order in await world.withdrawals():
            assert order.status == "confirmed" or order.reason == "coin_taken"
            event(order.reason or order.status)
            paid = [order.amount_minor] if order.status == "confirmed" else []
            assert await world.paid(order.address) == paid
        if not any(step.what in {"stray", "branch"} for step in history):
            assert all(order.status == "confirmed" for order in await world.withdrawals())
