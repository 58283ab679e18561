"""kill -9 of workers, the broker and the database at random, while money moves."""

from __future__ import annotations

import asyncio
import contextlib
import math
import random
import statistics
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from agents.roles import ROLES
from agents.runtime.faults import PASSING_FAULTS
from cli.playground import Playground
from devstack.process import Server
from tests.faults.figures import Figure
from tests.faults.load import ChainLoad, prove_common
from tests.faults.worlds import open_world

RESUMED_S_MAX = 15.0
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
        self.kills = {"workers": 0, "broker": 0, "database": 0}
        self.resumed_s: list[float] = []
        self._dying: set[str] = set()
        self._watches: set[asyncio.Task[None]] = set()
        self._over = asyncio.Event()
        self._servers_back_at = 0.0

    async def run(self, every_s: float, server_every: int) -> None:
        """Kill until told to stop; every so many victims one is the broker or the database."""
        victims = 0
        while not await self._is_over(self._chance.uniform(0.5, 1.5) * every_s):
            victims += 1
            if victims % server_every == 0:
                await self._kill_server(("broker", "database")[victims // server_every % 2])
            elif idle := sorted(set(ROLES) - self._dying):
                self._watches.add(asyncio.create_task(self._kill_worker(self._chance.choice(idle))))
        for name in ("broker", "database"):
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
        await asyncio.to_thread(server.kill)
        self.kills[name] += 1
        await asyncio.sleep(self._chance.uniform(0, 1))
        await asyncio.to_thread(server.start)
        self._servers_back_at = time.monotonic()

    async def _kill_worker(self, role: str) -> None:
        """Kill a worker of the role; until it has resumed, it is left in peace."""
        self._dying.add(role)
        worker = self._world.stack.workers[role]
        killed_at, pid = time.monotonic(), worker.pid
        worker.kill()
        self.kills["workers"] += 1
        # What the dying process still commits is no progress of the next one.
        while worker.pid == pid and worker.alive:  # noqa: ASYNC110 - an exit sets no event
            await asyncio.sleep(0.01)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(4 * RESUMED_S_MAX):
                await self._until_progress(role)
        # Nobody can go on while the broker or the database is dead as well.
        self.resumed_s.append(time.monotonic() - max(killed_at, self._servers_back_at))
        self._dying.discard(role)

    async def _until_progress(self, role: str) -> None:
        """Wait until a new process of the role has committed something."""
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
    deposits: int,
    withdrawals: int,
    rate_s: float,
    seed: int,
    every_s: float = 2.0,
    server_every: int = 6,
) -> list[Figure]:
    """Move money on several chains at once while things are killed; then prove the effects.

    `deposits`, `withdrawals` and `rate_s`, the deposits a second, are of all chains together.
    """
    async with open_world(folder, chains, rebroadcast_after_s=1.0) as world:
        await world.open_tenant()
        loads = [ChainLoad(ground, seed) for ground in world.grounds.values()]
        async with asyncio.TaskGroup() as group:
            for load in loads:
                group.create_task(load.prepare())
        killer = Killer(world, seed)
        share = Share(
            math.ceil(deposits / len(loads)),
            math.ceil(withdrawals / len(loads)),
            rate_s / len(loads),
        )
        mining = [asyncio.create_task(load.mine()) for load in loads]
        killing = killer.run(every_s, server_every)
        try:
            await _torment(loads, killer, share, killing)
        finally:
            await _stop(mining)
        figures = [await load.prove() for load in loads]
        return [*figures, *await prove_common(world), *_kill_figures(killer)]


class Share(NamedTuple):
    """What one chain does while things are killed."""

    deposits: int
    withdrawals: int
    rate_s: float


async def _torment(
    loads: Sequence[ChainLoad],
    killer: Killer,
    share: Share,
    killing: Coroutine[None, None, None],
) -> None:
    """Kill while money moves, and wait until it has come to rest."""
    await loads[0].ground.world.until(_all_credited(loads), "the first deposits are credited")
    async with asyncio.TaskGroup() as group:
        group.create_task(killing)
        async with asyncio.TaskGroup() as moving:
            for load in loads:
                rate_s = share.rate_s * share.withdrawals / share.deposits
                moving.create_task(load.pay_in(share.deposits, share.rate_s))
                moving.create_task(load.draw_out(share.withdrawals, rate_s))
        killer.stop()
    async with asyncio.TaskGroup() as settling:
        for load in loads:
            settling.create_task(load.settle())


def _all_credited(loads: Sequence[ChainLoad]) -> Callable[[], Awaitable[bool | None]]:
    async def look() -> bool | None:
        return not [load for load in loads if await load.count_wrong_accounts()] or None

    return look


async def _stop(tasks: Sequence[asyncio.Task[None]]) -> None:
    """End tasks; raise what one of them had ended with before."""
    for task in tasks:
        task.cancel()
    ended = await asyncio.gather(*tasks, return_exceptions=True)
    for error in ended:
        if isinstance(error, Exception):
            raise error


def _kill_figures(killer: Killer) -> list[Figure]:
    worst = max(killer.resumed_s, default=0.0)
    median = statistics.median(killer.resumed_s) if killer.resumed_s else 0.0
    kills = ", ".join(f"{count} {victim}" for victim, count in killer.kills.items())
    return [
        Figure("killed", kills, all(killer.kills.values())),
        Figure(
            "resumed after a worker's death",
            f"median {median:.1f} s, worst {worst:.1f} s of {len(killer.resumed_s)}",
            0 < worst < RESUMED_S_MAX,
        ),
    ]
