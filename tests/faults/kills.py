"""kill -9 of workers, the broker and the database at random, while money moves."""

from __future__ import annotations

import asyncio
import contextlib
import math
import random
import statistics
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from agents.roles import ROLES
from agents.runtime.faults import PASSING_FAULTS
from cli.playground import Playground
from devstack.process import Server
from tests.faults.evidence import Evidence, Heard, prove_common
from tests.faults.figures import Figure
from tests.faults.load import ChainLoad, Pace
from tests.faults.worlds import open_world

RESUMED_S_MAX = 15.0
LOOK_S = 1.0
"""Between looks at what has not come about yet."""
STALLED_S = 120.0
"""Without any change of that, it is taken for lost."""
DYING_MAX = 2
"""Workers that are not back yet; more dead at once would only show how fast the machine starts."""
RECOVERED_S_MAX = 300.0
"""For the broker to read its logs again, on a machine that has much else to do."""
TELL_S = 20.0
SERVERS = ("broker", "database")
STAGES = {
    "deposits": ("match_deposits", "confirm_deposits", "post_ledger"),
    "withdrawals": ("check_withdrawals", "confirm_withdrawals"),
    "signer": ("sign_withdrawals",),
    "notify": ("notify",),
}
"""Stages of a role that always have work under this load, by which its progress is seen."""


class Killer:
    """Kills something every so often, and measures how long workers take to go on."""

    def __init__(self, world: Playground, seed: int) -> None:
        self._world = world
        self._chance = random.Random(seed)
        self.kills = Counter(dict.fromkeys((*ROLES, *SERVERS), 0))
        """By server, and by role of a worker."""
        self.resumed_s: dict[str, list[float]] = {role: [] for role in ROLES}
        self._dying: set[str] = set()
        self._watches: set[asyncio.Task[None]] = set()
        self._over = asyncio.Event()
        self._servers_back_at = 0.0

    async def run(self, every_s: float, server_every: int) -> None:
        """Kill until told to stop; every so many victims one is the broker or the database."""
        victims = 0
        while not await self._is_over(self._chance.uniform(0.5, 1.5) * every_s):
            if len(self._dying) >= DYING_MAX:
                continue
            victims += 1
            if victims % server_every == 0:
                await self._kill_server(SERVERS[victims // server_every % 2])
                await self._breathe()
            else:
                role = self._chance.choice(sorted(set(ROLES) - self._dying))
                self._watches.add(asyncio.create_task(self._kill_worker(role)))
        for name in SERVERS:
            if not self.kills[name]:  # a short run may have ended before its turn
                await self._kill_server(name)
        await self._end_watches()

    def stop(self) -> None:
        """Kill nothing any more; `run` ends when those that are dead have resumed."""
        self._over.set()

    async def _is_over(self, after_s: float) -> bool:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._over.wait(), after_s)
        return self._over.is_set()

    async def _end_watches(self) -> None:
        """Some have no more work to show that they have resumed; those are not counted."""
        if self._watches:
            done, idle = await asyncio.wait(self._watches, timeout=RESUMED_S_MAX)
            for task in idle:
                task.cancel()
            await asyncio.gather(*idle, return_exceptions=True)
            await asyncio.gather(*done)

    async def _kill_server(self, name: str) -> None:
        stack = self._world.stack
        server: Server | None = stack.kafka if name == "broker" else stack.postgres
        assert server is not None
        server.start_timeout_s = RECOVERED_S_MAX
        await asyncio.to_thread(server.kill)
        self.kills[name] += 1
        await asyncio.sleep(self._chance.uniform(0, 1))
        await asyncio.to_thread(server.start)
        self._servers_back_at = time.monotonic()

    async def _breathe(self) -> None:
        """Leave all in peace until each worker has done something: else nothing ever moves."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(2 * RESUMED_S_MAX):
                await asyncio.gather(*(self._until_progress(role) for role in ROLES))

    async def _kill_worker(self, role: str) -> None:
        """Kill a worker of the role; until work of the role goes on, that is left in peace."""
        self._dying.add(role)
        workers = self._world.stack.workers.values()
        worker = self._chance.choice([one for one in workers if one.role == role])
        killed_at, pid = time.monotonic(), worker.pid
        worker.kill()
        self.kills[role] += 1
        # What the dying process still commits is no progress of the next one.
        while worker.pid == pid and worker.alive:  # noqa: ASYNC110 - an exit sets no event
            await asyncio.sleep(0.01)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(4 * RESUMED_S_MAX):
                await self._until_progress(role)
        # Nobody can go on while the broker or the database is dead as well.
        self.resumed_s[role].append(time.monotonic() - max(killed_at, self._servers_back_at))
        self._dying.discard(role)

    async def _until_progress(self, role: str) -> None:
        """Wait until a process of the role, the new one if there is but one, commits something."""
        since = None
        while since is None or not await self._look(partial(self._progressed, role, since)):
            since = since or await self._look(self._now)
            await asyncio.sleep(0.1)

    async def _look(self, query: Callable[[], Awaitable[object]]) -> object:
        """Ask the database; None while it is away, for it is killed as well."""
        try:
            return await query()
        except PASSING_FAULTS:
            return None

    async def _now(self) -> object:
        async with self._world.pool.acquire() as conn:
            return await conn.fetchval("SELECT clock_timestamp()")

    async def _progressed(self, role: str, since: object) -> bool:
        query = (
            "SELECT max(updated_at) > $1 FROM cursors"
            if role == "chain"
            else "SELECT max(updated_at) > $1 FROM inbox WHERE stage = ANY($2)"
        )
        arguments = (since,) if role == "chain" else (since, list(STAGES[role]))
        async with self._world.pool.acquire() as conn:
            return bool(await conn.fetchval(query, *arguments))


async def run_kills(
    folder: Path,
    *,
    chains: Sequence[str],
    size: Size,
    seed: int,
    each: int = 1,
    tell: Callable[[str], None] = lambda _: None,
) -> list[Figure]:
    """Move money on several chains at once while things are killed; then prove the effects."""
    async with open_world(folder, chains, each=each, rebroadcast_after_s=1.0) as world:
        await world.open_tenant()
        heard = Heard(world.sink)
        pace = size.pace(len(world.grounds))
        loads = [ChainLoad(ground, seed, pace) for ground in world.grounds.values()]
        async with asyncio.TaskGroup() as group:
            for load in loads:
                group.create_task(load.prepare())
        torment = Torment([Evidence(load, heard) for load in loads], Killer(world, seed), tell)
        mining = [asyncio.create_task(load.mine()) for load in loads]
        telling = asyncio.create_task(torment.keep_telling())
        try:
            await torment.run(size)
        finally:
            await _stop([*mining, telling])
        return [*await torment.prove(), *await prove_common(world)]


class Size(NamedTuple):
    """How much is done on all chains together while things are killed, and how often they are."""

    deposits: int
    withdrawals: int
    rate_s: float
    """Deposits a second."""
    mine_every_s: float
    owners: int
    """On each chain."""
    every_s: float
    """Seconds between victims."""
    server_every: int
    """Every so many victims one is the broker or the database."""

    def pace(self, chains: int) -> Pace:
        """Return one chain's share."""
        return Pace(
            math.ceil(self.deposits / chains),
            math.ceil(self.withdrawals / chains),
            self.rate_s / chains,
            self.mine_every_s,
            self.owners,
        )


class Torment:
    """Money moves on all chains while things are killed, and then comes to rest."""

    def __init__(
        self, evidence: Sequence[Evidence], killer: Killer, tell: Callable[[str], None]
    ) -> None:
        self._evidence = evidence
        self._killer = killer
        self._tell = tell
        self._phase = "the first deposits are credited"

    async def run(self, size: Size) -> None:
        """Return when all that was begun is done; what is stuck is left as it is."""
        await self._until_done()
        self._phase = "money moves, things are killed"
        killing: Coroutine[None, None, None] = self._killer.run(size.every_s, size.server_every)
        async with asyncio.TaskGroup() as group:
            group.create_task(killing)
            async with asyncio.TaskGroup() as moving:
                for evidence in self._evidence:
                    moving.create_task(evidence.load.pay_in(evidence.is_behind))
                    moving.create_task(evidence.load.draw_out())
            self._killer.stop()
        self._phase = "all comes to rest"
        await self._until_done()
        for evidence in self._evidence:  # else the last reorganisation may be heard of too late
            await evidence.load.calm_down()
        await self._until_done()

    async def _until_done(self) -> None:
        """Wait for as long as there is something open and it changes."""
        seen, changed_at = None, time.monotonic()
        while (still := await self._look()) and time.monotonic() - changed_at < STALLED_S:
            if still != seen:
                seen, changed_at = still, time.monotonic()
            await asyncio.sleep(LOOK_S)

    async def _look(self) -> dict[str, Counter[str]]:
        found = {evidence.load.kind: await evidence.count_open() for evidence in self._evidence}
        return {kind: open_ for kind, open_ in found.items() if open_}

    async def keep_telling(self) -> None:
        """Tell how far it is, again and again."""
        started = time.monotonic()
        while True:
            await asyncio.sleep(TELL_S)
            self._tell(f"{time.monotonic() - started:5.0f} s  {self._phase}: {self._describe()}")

    def _describe(self) -> str:
        loads = [evidence.load for evidence in self._evidence]
        sent, wanted = sum(load.sent for load in loads), sum(load.deposits_max for load in loads)
        orders = sum(len(load.orders) for load in loads)
        heard = self._evidence[0].heard
        heard.listen()
        kills = self._killer.kills
        return (
            f"{sent:,} of {wanted:,} deposits sent, {heard.credited.total():,} credits and"
            f" {heard.paid.total():,} of {orders:,} payments heard of,"
            f" {kills.total()} kills"
        )

    async def prove(self) -> list[Figure]:
        """Return the figures of each chain, and those of the kills."""
        figures = [figure for evidence in self._evidence for figure in await evidence.prove()]
        return [*figures, *kill_figures(self._killer.kills, self._killer.resumed_s)]


async def _stop(tasks: Sequence[asyncio.Task[None]]) -> None:
    """End tasks; raise what one of them had ended with before."""
    for task in tasks:
        task.cancel()
    ended = await asyncio.gather(*tasks, return_exceptions=True)
    for error in ended:
        if isinstance(error, Exception):
            raise error


def kill_figures(
    kills: Mapping[str, int], resumed_s: Mapping[str, Sequence[float]]
) -> Iterator[Figure]:
    """Return how often each was killed, and how long each role of worker took to go on."""
    every_s = [taken_s for taken in resumed_s.values() for taken_s in taken]
    roles = {role: count for role, count in kills.items() if role not in SERVERS}
    shown = ", ".join(f"{count} {role}" for role, count in roles.items())
    yield Figure("killed: workers", f"{sum(roles.values())}: {shown}", any(roles.values()))
    for server in SERVERS:
        yield Figure(f"killed: {server}", str(kills[server]), kills[server] > 0)
    for role, taken_s in resumed_s.items():
        if taken_s:
            yield Figure(f"resumed: {role}", _show_times(taken_s), max(taken_s) < RESUMED_S_MAX)
    yield Figure(
        "resumed: all workers", _show_times(every_s), 0 < max(every_s, default=0.0) < RESUMED_S_MAX
    )


def _show_times(times_s: Sequence[float]) -> str:
    if not times_s:
        return "none"
    late = sum(time_s >= RESUMED_S_MAX for time_s in times_s)
    return (
        f"median {statistics.median(times_s):.1f} s, worst {max(times_s):.1f} s of {len(times_s)}"
        + (f", {late} of them too late" if late else "")
    )
