"""Stages that work on the same networks at once wait for each other, and never in a circle."""

from __future__ import annotations

import asyncio
import secrets
from datetime import UTC, datetime
from typing import Any

import pytest

from agents.confirm_withdrawals import ConfirmWithdrawals
from agents.match_deposits import MatchDeposits
from agents.runtime.context import Context
from agents.runtime.publisher import Publisher
from agents.runtime.stage import LocalStage, Work
from settings.model import Settings
from sql import notifications as sql
from sql.notifications import EventRow, HealthRow
from sql.pool import Pool
from tests.support.webhooks import register
from topics.blocks import BlockAdded, BlockRecord


@pytest.mark.parametrize("stage_type", [MatchDeposits, ConfirmWithdrawals])
async def test_a_stage_takes_the_networks_of_a_batch_in_one_order(
    pool: Pool, database_url: str, stage_type: type[MatchDeposits | ConfirmWithdrawals]
) -> None:
    """Whatever order their records come in: it waits for the first and holds no later one yet."""
    settings = Settings(database_url=database_url)  # type: ignore[arg-type]
    stage: LocalStage[Any] = stage_type(Context(settings, pool, {}, Publisher(settings)))
    first, last = await add_networks(pool)
    records: list[BlockRecord] = [
        BlockAdded(n, 1, "here", "before", 0, 0, 1, []) for n in (last, first)
    ]
    async with pool.acquire() as holder, pool.acquire() as worker, pool.acquire() as other:
        async with holder.transaction():
            await lock(holder, first)
            working = asyncio.create_task(apply(stage, worker, records))
            await blocked(holder, worker, working)
            async with other.transaction():
                await lock(other, last)
        await working


async def test_a_worker_takes_the_endpoints_that_failed_in_one_order_before_it_disables_any(
    pool: Pool,
) -> None:
    """Whatever order its attempts ended in, and theirs in the table."""
    first, last = sorted(
        [(await register(pool, f"order-{n}", "http://127.0.0.1:9/hook")).endpoint_id for n in "ab"]
    )
    await pool.execute("UPDATE endpoints SET url = url || '/' WHERE endpoint_id = $1", first)
    urls = {row[0]: row[1] for row in await pool.fetch("SELECT endpoint_id, url FROM endpoints")}
    health = [HealthRow(id_, urls[id_], False, True, None) for id_ in (last, first)]
    async with pool.acquire() as holder, pool.acquire() as worker, pool.acquire() as other:
        async with holder.transaction():
            await take_endpoint(holder, first)
            working = asyncio.create_task(disable(worker, health))
            await blocked(holder, worker, working)
            async with other.transaction():
                await take_endpoint(other, last)
        await working
    left = "SELECT count(*) FROM endpoints WHERE endpoint_id = any($1) AND disabled_at IS NULL"
    assert await pool.fetchval(left, [first, last]) == 0


async def test_who_plans_deliveries_takes_the_endpoints_in_that_order_as_well(pool: Pool) -> None:
    """Whatever the order of the events that they want."""
    types = ["hot_wallet.low", "webhook.disabled"]
    first, last = sorted(
        [(await register(pool, "plan", "http://127.0.0.1:9/hook")).endpoint_id for _ in types]
    )
    for endpoint_id, wanted in zip((last, first), types, strict=True):
        query = "UPDATE endpoints SET event_types = ARRAY[$2] WHERE endpoint_id = $1"
        await pool.execute(query, endpoint_id, wanted)
    rows = [EventRow(f"evt_{n}", "plan", type_, b"{}") for n, type_ in enumerate(types)]
    async with pool.acquire() as holder, pool.acquire() as planner, pool.acquire() as other:
        async with holder.transaction():
            await take_endpoint(holder, first)
            moment = datetime(2026, 1, 1, tzinfo=UTC)
            working = asyncio.create_task(sql.store_events(planner, rows, moment))
            await blocked(holder, planner, working)
            async with other.transaction():
                await take_endpoint(other, last)
        await working
    assert len(await pool.fetch("SELECT FROM deliveries WHERE event_id LIKE 'evt__'")) == 2


async def disable(conn: Any, health: list[HealthRow]) -> None:  # noqa: ANN401
    """Write down that endpoints are gone, as a delivery worker does."""
    async with conn.transaction():
        await sql.record_health(conn, health)
        await sql.disable_endpoints(conn, health, failing_s=0.0)


async def take_endpoint(conn: Any, endpoint_id: str) -> None:  # noqa: ANN401
    """Take an endpoint now, or raise LockNotAvailableError."""
    await conn.execute(
        "SELECT FROM endpoints WHERE endpoint_id = $1 FOR NO KEY UPDATE NOWAIT", endpoint_id
    )


async def add_networks(pool: Pool) -> list[str]:
    """Return two networks that are followed, in the order in which they are taken."""
    networks = sorted(f"sim:{secrets.token_hex(6)}" for _ in range(2))
    async with pool.acquire() as conn:
        for network in networks:
            await conn.execute(
                "INSERT INTO networks (network, kind, native_asset, confirmations)"
                " VALUES ($1, 'simulated', 'COIN', 1)",
                network,
            )
            await conn.execute(
                "INSERT INTO cursors (network, height, node_height) VALUES ($1, 1, 1)", network
            )
            await conn.execute(
                "INSERT INTO blocks (network, height, block_id, parent_id, clock, published)"
                " VALUES ($1, 1, 'here', 'before', 1, true)",
                network,
            )
    return networks


async def lock(conn: Any, network: str) -> None:  # noqa: ANN401 - a connection of a pool
    """Take the network's cursor now, or raise LockNotAvailableError."""
    await conn.execute("SELECT 1 FROM cursors WHERE network = $1 FOR UPDATE NOWAIT", network)


async def apply(stage: LocalStage[Any], conn: Any, records: list[BlockRecord]) -> None:  # noqa: ANN401
    async with conn.transaction():
        await stage.apply(Work(conn), records, None)


async def blocked(holder: Any, waiter: Any, work: asyncio.Task[None]) -> None:  # noqa: ANN401
    """Return when the waiter waits for the holder; AssertionError if it ends without."""
    query = "SELECT $1 = any(pg_blocking_pids($2))"
    async with asyncio.timeout(15):
        while not await holder.fetchval(query, holder.get_server_pid(), waiter.get_server_pid()):
            assert not work.done(), work.exception() or "it did not wait"
            await asyncio.sleep(0.02)
