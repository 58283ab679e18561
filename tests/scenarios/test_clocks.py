"""Clocks that are wrong: the database's was set back, its time zone is odd, days and months end."""

from __future__ import annotations

import secrets
import time
from datetime import timedelta
from uuid import uuid4

import pytest

from agents.relay_outbox import OLDER_THAN_S
from agents.runtime.clock import show_skew
from metrics.catalogue import REGISTRY
from sql import notifications as notifications_sql
from sql import stream
from sql import withdrawals as withdrawals_sql
from sql.pool import Pool
from tests.support.fateful_node import Fate
from tests.support.webhooks import (
    answer_with,
    attempted,
    attempts_written,
    deliver,
    let_pass,
    make_event,
    now,
    receive,
    register,
    store_event,
)
from tests.support.withdrawals import SimulatedWorld

SET_BACK = timedelta(hours=1)
"""Rows so far ahead were written before the database's clock was corrected."""
LEASE_S = 5.0


@pytest.fixture
async def world(pool: Pool, database_url: str) -> SimulatedWorld:
    opened = SimulatedWorld(pool, database_url)
    await opened.start()
    return opened


async def test_a_lease_of_before_the_clock_was_set_back_can_be_taken(pool: Pool) -> None:
    name, dead, living = secrets.token_hex(4), uuid4(), uuid4()
    async with pool.acquire() as conn:
        assert await stream.take_lease(conn, name, dead, LEASE_S)
        await conn.execute(
            "UPDATE leases SET renewed_at = renewed_at + $2, expires_at = expires_at + $2"
            " WHERE name = $1",
            name,
            SET_BACK,
        )
        assert await stream.take_lease(conn, name, living, LEASE_S)
        assert not await stream.take_lease(conn, name, dead, LEASE_S)


async def test_a_lease_is_not_taken_by_a_worker_whose_own_leases_are_far_shorter(
    pool: Pool,
) -> None:
    name, holder, hasty = secrets.token_hex(4), uuid4(), uuid4()
    async with pool.acquire() as conn:
        assert await stream.take_lease(conn, name, holder, 20 * LEASE_S)
        assert not await stream.take_lease(conn, name, hasty, LEASE_S)
        assert await stream.renew_lease(conn, name, holder, 20 * LEASE_S)
        assert not await stream.take_lease(conn, name, hasty, LEASE_S)


async def test_a_holder_that_lives_keeps_its_lease_when_the_clock_is_set_back(pool: Pool) -> None:
    name, holder = secrets.token_hex(4), uuid4()
    async with pool.acquire() as conn:
        assert await stream.take_lease(conn, name, holder, LEASE_S)
        await conn.execute(
            "UPDATE leases SET renewed_at = renewed_at + $2, expires_at = expires_at + $2"
            " WHERE name = $1",
            name,
            SET_BACK,
        )
        assert await stream.renew_lease(conn, name, holder, LEASE_S)
        assert not await stream.take_lease(conn, name, uuid4(), LEASE_S)


async def test_a_record_of_before_the_clock_was_set_back_is_published(pool: Pool) -> None:
    topic = secrets.token_hex(4)
    async with pool.acquire() as conn:
        old, _ = await stream.fill_outbox(conn, [(topic, "k", b"old"), (topic, "k", b"new")])
        await conn.execute(
            "UPDATE outbox SET created_at = created_at + $2 WHERE id = $1", old.id, SET_BACK
        )
        rows = await stream.read_outbox(conn, 60 * OLDER_THAN_S, 10_000)
    assert [row.payload for row in rows if row.topic == topic] == [b"old"]


async def test_a_webhook_claimed_before_the_clock_was_set_back_by_who_died_is_delivered(
    pool: Pool,
) -> None:
    async with receive() as receiver:
        await register(pool, "set-back", receiver.url)
        await store_event(pool, make_event("set-back", 0))
        dead = uuid4()
        async with pool.acquire() as conn:
            await notifications_sql.renew_worker(conn, dead, LEASE_S)
            claims = await notifications_sql.claim_deliveries(
                conn, dead, limit_rows=10, room_default=10, rooms={}, held_by={}
            )
            assert len(claims) == 1
            await conn.execute(
                "UPDATE delivery_workers SET expires_at = expires_at + $2 WHERE worker = $1",
                dead,
                SET_BACK,
            )
        async with deliver(pool):
            await receiver.wait_for(1)


@pytest.mark.parametrize("off", [timedelta(days=400), -timedelta(days=400)])
async def test_when_a_webhook_is_tried_again_does_not_go_by_the_clock_of_who_sends_it(
    pool: Pool, off: timedelta
) -> None:
    tenant = f"off-{secrets.token_hex(4)}"
    async with receive(answer_with(500)) as receiver, deliver(pool, clock=lambda: now() + off):
        await register(pool, tenant, receiver.url)
        await store_event(pool, make_event(tenant, 0))
        first = await attempted(pool, tenant)
        await let_pass(pool, tenant, timedelta(seconds=10))
        await attempts_written(pool, tenant, 2)
    due = await pool.fetchval(
        "SELECT next_attempt_at BETWEEN now() AND now() + interval '10 minutes' FROM deliveries"
        " WHERE delivery_id = $1",
        first.delivery_id,
    )
    assert due


async def test_what_was_sent_before_the_clock_was_set_back_is_sent_again_and_replaced(
    world: SimulatedWorld,
) -> None:
    world.node.fates.append(Fate.NOT_LANDED)
    [withdrawal] = await world.request(world.command("w"))
    await world.pool.execute(
        "UPDATE transactions SET first_sent_at = now() + $2, last_sent_at = now() + $2"
        " WHERE withdrawal_id = $1",
        withdrawal.withdrawal_id,
        SET_BACK,
    )
    assert await world.tried("w") == 2
    await world.pool.execute(
        "UPDATE transactions SET last_sent_at = now() + $2 WHERE withdrawal_id = $1",
        withdrawal.withdrawal_id,
        SET_BACK,
    )
    await world.retry()
    await world.mine(6)
    assert (await world.withdrawal("w")).status == "confirmed"
    assert world.payments_to(withdrawal.address) == 1


async def test_an_approval_of_before_the_clock_was_set_back_is_handed_over_again(
    world: SimulatedWorld,
) -> None:
    world.node.in_flight_max = 0
    [withdrawal] = await world.request(world.command("w"))
    await world.pool.execute(
        "UPDATE withdrawals SET updated_at = now() + $2 WHERE withdrawal_id = $1",
        withdrawal.withdrawal_id,
        SET_BACK,
    )
    async with world.pool.acquire() as conn:
        stale = await withdrawals_sql.stale_approvals(conn, world.network, 60.0, 0, 10)
    assert stale == [withdrawal.withdrawal_id]


@pytest.mark.parametrize("zone", ["UTC", "America/New_York", "Asia/Kathmandu"])
@pytest.mark.parametrize(
    ("age", "expected"),
    [
        (timedelta(minutes=59), (100, 1)),
        (timedelta(minutes=61), (100, 0)),
        (timedelta(hours=23, minutes=59), (100, 0)),
        (timedelta(hours=24, minutes=1), None),
        (-SET_BACK, (100, 1)),
    ],
)
async def test_limits_look_back_by_hours_whatever_the_time_zone_and_count_the_future(
    world: SimulatedWorld, zone: str, age: timedelta, expected: tuple[int, int] | None
) -> None:
    key = (world.tenant, "alice", world.coin)
    async with world.pool.acquire() as conn, conn.transaction():
        await conn.execute(f"SET LOCAL timezone = '{zone}'")
        await conn.execute(
            "INSERT INTO withdrawals (tenant, idempotency_key, request_hash, owner, asset, network,"
            " address, amount_minor, fee_minor, created_at)"
            " VALUES ($1, 'w', '', $2, $3, $4, 'to', 100, 0, now() - $5::interval)",
            *key,
            world.network,
            age,
        )
        history = await withdrawals_sql.withdrawal_history(conn, [key])
    assert history.get(key) == expected


async def test_a_worker_shows_how_far_its_clock_is_ahead_of_the_databases(pool: Pool) -> None:
    ahead_s = 7200.0
    await show_skew(pool, lambda: time.time() + ahead_s)
    shown = REGISTRY.get_sample_value("millrace_clock_skew_seconds")
    assert shown is not None
    assert shown == pytest.approx(ahead_s, abs=ahead_s / 2)
