"""Events late, twice, in any order, through deaths and reorganisations: the same final ledger.

Users pay to addresses of their own and with memos, strangers without; an operator says whose that
is, and the network takes its fees.
The history of a chain is played with all that disorder, and its last state once more cleanly and
in order on an empty ledger. Both must end with the same money, and on the way no deposit may have
two credits at a time.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from agents.by_operator.assign_deposit import NotAssignable
from agents.notify import Notify
from agents.runtime.record import Record
from agents.runtime.run_stage import StageRunner
from chain_adapters.simulated import Mischief
from chain_adapters.types import NodeUnavailable, Transaction
from sql import addresses as addresses_sql
from sql.pool import Pool
from sql.stream import Partition
from tests.support.deposits import CONFIRMATIONS, World
from tests.support.mortal import Killed, Moment, Mortal
from tests.support.pipeline import MemoryKafka
from topics.events import EVENTS

OWNERS = ("alice", "bob")
POOLED = "pooled"
DEPTH_MAX = 24
EXAMPLES = int(os.environ.get("FAULTS_EXAMPLES", "25"))
"""A campaign asks for more."""


class Step(NamedTuple):
    """One thing that happens. `number` is an amount, a depth or a seed."""

    what: str
    number: int = 0
    detail: str = ""


steps = st.one_of(
    st.builds(Step, st.just("pay"), st.integers(1, 1000), st.sampled_from(OWNERS)),
    st.builds(Step, st.just("pay"), st.integers(1, 1000), st.sampled_from(OWNERS)),
    st.builds(Step, st.just("pay_pooled"), st.integers(1, 1000), st.sampled_from([*OWNERS, ""])),
    st.builds(Step, st.just("pay_pooled"), st.integers(1, 1000), st.just("")),
    st.builds(Step, st.just("assign"), st.integers(0, 10**6), st.sampled_from(OWNERS)),
    st.builds(Step, st.just("charge"), st.integers(-50, 50), st.sampled_from([*OWNERS, POOLED])),
    st.builds(Step, st.just("mine"), st.integers(1, 20)),
    st.builds(Step, st.just("reorganise"), st.integers(1, DEPTH_MAX), st.sampled_from("abcdef")),
    st.builds(Step, st.just("return_late"), st.integers(0, 10**6)),
    st.builds(Step, st.just("follow"), st.integers(0, 3), st.sampled_from(list(Mischief))),
    st.builds(Step, st.just("deliver"), st.integers(0, 10**6)),
    st.builds(Step, st.just("deliver"), st.integers(0, 10**6)),
)


class Renumbered(MemoryKafka):
    """A log whose records are delivered under new offsets: its own end and order say nothing."""

    async def bounds(self, partition: Partition) -> tuple[int, int]:
        return 0, 2**62

    async def read(
        self, partition: Partition, start: int, end: int, records_max: int
    ) -> list[Record]:
        return []


class Disorder:
    """Delivers what stages have not had yet, and again what they had, as a seed says."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.deaths: dict[str, Moment] = {}
        pipeline = world.pipeline
        pipeline.kafka = Renumbered(pipeline.kafka.prefix)
        pipeline.stages = [Mortal(x, self.deaths) for x in [*pipeline.stages, Notify()]]
        self._seen: Counter[str] = Counter()
        self._waiting: dict[str, list[Record]] = {stage.name: [] for stage in pipeline.stages}

    async def deliver(self, seed: int) -> None:
        """Hand a few batches to stages picked at random; processes die on the way."""
        chance = random.Random(seed)
        for _ in range(chance.randint(1, 8)):
            if chance.random() < 0.5:
                await self.world.pipeline.relay()
            runner = chance.choice(self.world.pipeline.runners)
            waiting = self._take_new(runner)
            chance.shuffle(waiting)
            batch = [waiting.pop() for _ in range(min(len(waiting), chance.randint(1, 5)))]
            waiting += chance.choices(batch, k=len(batch) // 2)
            if batch:
                await self._run(runner, batch, chance)

    async def _run(self, runner: StageRunner, batch: list[Record], chance: random.Random) -> None:
        name = runner.stage.name
        numbered = [self.world.pipeline._numbered(name, record) for record in batch]
        if chance.random() < 0.3:
            self.deaths[name] = chance.choice(list(Moment))
        try:
            await runner.run(numbered)
        except Killed:
            self.deaths.clear()
            await self._restart()
            await self._runner(name).run(numbered)
        if chance.random() < 0.3:  # dies after the commit, before the ack
            await self._restart()
            await self._runner(name).run(numbered)

    async def _restart(self) -> None:
        await self.world.pipeline.start()

    def _runner(self, name: str) -> StageRunner:
        return next(r for r in self.world.pipeline.runners if r.stage.name == name)

    def _take_new(self, runner: StageRunner) -> list[Record]:
        """Return the records that wait for a stage, those that have just arrived included."""
        name, kafka = runner.stage.name, self.world.pipeline.kafka
        log = kafka.topics[kafka.prefix + runner.stage.topic.name]
        self._waiting[name] += log[self._seen[name] :]
        self._seen[name] = len(log)
        return self._waiting[name]

    async def finish(self, seed: int) -> None:
        """Deliver all there is, still in disorder, until nothing moves."""
        chance = random.Random(seed)
        moved = True
        while moved:
            moved = bool(await self.world.pipeline.relay())
            for runner in self.world.pipeline.runners:
                waiting = self._take_new(runner)
                while waiting:
                    moved = True
                    chance.shuffle(waiting)
                    batch = [waiting.pop() for _ in range(min(len(waiting), chance.randint(1, 9)))]
                    name = runner.stage.name
                    await runner.run([self.world.pipeline._numbered(name, r) for r in batch])


class History:
    """Plays steps on a chain that a world follows in disorder."""

    def __init__(self, world: World, addresses: dict[str, str]) -> None:
        self.world = world
        self.disorder = Disorder(world)
        self._addresses = addresses
        self._late: list[Transaction] = []

    async def play(self, step: Step) -> None:
        await getattr(self, f"_{step.what}")(step)

    async def _pay(self, step: Step) -> None:
        self.world.chain.mint(self._addresses[step.detail], None, 10 + step.number)

    async def _pay_pooled(self, step: Step) -> None:
        """Without a name, with a memo that nobody has."""
        address = self._addresses[POOLED]
        self.world.chain.mint(address, None, 10 + step.number, f"memo {step.detail}")

    async def _assign(self, step: Step) -> None:
        waiting = await self.world.unassigned()
        if waiting:
            with suppress(NotAssignable):
                chosen = waiting[step.number % len(waiting)]
                await self.world.assign(chosen.deposit_id, step.detail)

    async def _charge(self, step: Step) -> None:
        self.world.chain.charge(self._addresses[step.detail], step.number)

    async def _mine(self, step: Step) -> None:
        self.world.chain.mine(step.number)

    async def _reorganise(self, step: Step) -> None:
        """Each dropped transaction is mined again in another block, later on, or never."""
        chain, chance = self.world.chain, random.Random(f"{step.number}{step.detail}")
        depth = min(step.number, chain.tip.height)
        if not depth:
            return
        dropped = [t for block in chain.drop(depth) for t in block.transactions]
        chance.shuffle(dropped)
        length = depth + chance.randint(0, 2)
        plan: list[list[Transaction]] = [[] for _ in range(length)]
        for transaction in dropped:
            fate = chance.random()
            if fate < 0.6:
                chance.choice(plan).append(transaction)
            elif fate < 0.8:
                self._late.append(transaction)
        for transactions in plan:
            chain.include(transactions)

    async def _return_late(self, step: Step) -> None:
        if self._late:
            self.world.chain.include([self._late.pop(step.number % len(self._late))])

    async def _follow(self, step: Step) -> None:
        """Follow for a while on a node that may fail or lie; a failed follower begins anew."""
        self.world.adapter.order_mischief([Mischief(step.detail)] * step.number)
        try:
            await self.world.follower._publish_pending()
            await self.world.follower.catch_up(self.world.chain.tip)
        except NodeUnavailable:
            pass
        finally:
            self.world.adapter.mischief.clear()

    async def _deliver(self, step: Step) -> None:
        await self.disorder.deliver(step.number)

    async def finish(self, seed: int) -> None:
        """Let the chain come to rest and everything be delivered."""
        self.world.chain.mine(CONFIRMATIONS + DEPTH_MAX)
        await self._follow(Step("follow", 0, Mischief.UNAVAILABLE))
        await self.disorder.finish(seed)


async def money(world: World) -> dict[tuple[str, str], int]:
    """Return what the ledger says by owner and bucket, empty accounts left out."""
    async with world.pool.acquire() as conn:
        rows: list[Any] = await conn.fetch(
            "SELECT owner, bucket, balance_minor FROM accounts"
            " WHERE tenant = $1 AND asset = $2 AND balance_minor <> 0",
            world.tenant,
            world.coin,
        )
    return {(row["owner"], row["bucket"]): int(row["balance_minor"]) for row in rows}


async def most_credits(world: World) -> int:
    """Return how many credits of one deposit ever stood at the same time."""
    async with world.pool.acquire() as conn:
        keys = await conn.fetch(
            "SELECT idempotency_key FROM journal_lines"
            " WHERE tenant = $1 AND reference_type = 'deposit' AND line = 0 ORDER BY entry_id",
            world.tenant,
        )
    standing: Counter[str] = Counter()
    most = 0
    for (key,) in keys:
        _, deposit_id, step, _ = key.split(":")
        standing[deposit_id] += {"credit": 1, "reversal": -1, "assign": 0}[step]
        most = max(most, standing[deposit_id])
    return most


async def clean_run(pool: Pool, database_url: str, of: World, addresses: dict[str, str]) -> World:
    """Return a world that has followed the same chain once, cleanly and in order."""
    world = World(pool, database_url)
    world.chain = world.adapter.chain = of.chain
    await world.start()
    await register(world, addresses)
    await world.follow()
    await repeat_assignments(of, world)
    return world


async def register(world: World, addresses: dict[str, str]) -> None:
    """Watch an address of each owner's own, and a pooled one with a memo for each."""
    for owner in OWNERS:
        await world.watch(owner, addresses[owner])
    async with world.pool.acquire() as conn, conn.transaction():
        await addresses_sql.lock_counter(conn, world.network)
        pooled = addresses[POOLED]
        row = (pooled, "", None, None)
        await addresses_sql.add_addresses(conn, world.network, world.tenant, "pooled", [row])
        await addresses_sql.advance_counter(conn, world.network, 1)
        memos = [(f"memo {owner}", owner, None) for owner in OWNERS]
        await addresses_sql.add_memos(conn, world.network, world.tenant, pooled, memos)


async def repeat_assignments(of: World, world: World) -> None:
    """Give the operator's words of one world in another, as far as the deposits still stand."""
    async with world.pool.acquire() as conn:
        words = await conn.fetch(
            "SELECT mine.deposit_id, theirs.owner FROM deposits AS theirs"
            " INNER JOIN deposits AS mine USING (transaction_id, transfer_index)"
            " WHERE theirs.network = $1 AND mine.network = $2 AND theirs.assigned_by IS NOT NULL",
            of.network,
            world.network,
        )
    for word in words:
        await world.assign(word["deposit_id"], word["owner"])


async def events_of(world: World) -> list[tuple[str, str]]:
    """Return (event id, type) of all events as they were kept for subscribers."""
    async with world.pool.acquire() as conn:
        rows = await conn.fetch("SELECT * FROM events WHERE tenant = $1", world.tenant)
    return [(str(row["event_id"]), str(row["type"])) for row in rows]


def emitted(world: World) -> set[str]:
    log = world.pipeline.kafka.topics[world.pipeline.kafka.prefix + EVENTS.name]
    return {event.id for record in log for event in EVENTS.decode(record.value or b"").events}


async def play(pool: Pool, database_url: str, history: Sequence[Step], seed: int) -> None:
    """Play a history and compare; raises AssertionError."""
    world = World(pool, database_url)
    addresses = {owner: free_address(world, owner) for owner in (*OWNERS, POOLED)}
    player = History(world, addresses)
    await world.start()
    await register(world, addresses)
    for step in history:
        await player.play(step)
    await player.finish(seed)
    clean = await clean_run(pool, database_url, world, addresses)
    assert await money(world) == await money(clean)
    assert await most_credits(world) <= 1
    kept = await events_of(world)
    assert {event_id for event_id, _ in kept} == emitted(world)
    balance = Counter(kind for _, kind in kept)
    credited = balance["deposit.confirmed"] + balance["deposit.unassigned"]
    standing = credited - balance["deposit.reversed"]
    assert standing == sum(status == "confirmed" for status in await clean.statuses())


def free_address(world: World, owner: str) -> str:
    """Return an address for an owner that no other world has."""
    return "0x" + (world.tenant.encode().hex() + owner.encode().hex()).ljust(40, "0")[:40]


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(history=st.lists(steps, min_size=8, max_size=40), seed=st.integers(0, 10**6))
async def test_any_delivery_of_any_history_ends_in_the_ledger_of_a_clean_run(
    pool: Pool, database_url: str, history: list[Step], seed: int
) -> None:
    note(f"seed {seed}")
    await play(pool, database_url, history, seed)
