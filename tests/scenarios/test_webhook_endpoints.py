"""Endpoints: their secrets, and when they are disabled."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from datetime import datetime, timedelta

import pytest
from aiohttp import web

from notifications import endpoints, store
from sql import notifications as sql
from sql.pool import Connection, Pool
from tests.support.races import until_blocked
from tests.support.webhooks import (
    BOX,
    Tenant,
    answer_with,
    attempted,
    attempts_written,
    deliver,
    hears,
    let_pass,
    make_event,
    now,
    receive,
    register,
    settled,
    store_event,
)
from topics.events import Event, WebhookDisabled

pytestmark = pytest.mark.usefixtures("no_endpoints_of_other_tests")


async def test_both_secrets_sign_during_a_rotation(pool: Pool) -> None:
    async with receive() as receiver, deliver(pool):
        tenant = await register(pool, "rotate", receiver.url)
        async with pool.acquire() as conn:
            secret = await endpoints.rotate_secret(
                conn, BOX, "rotate", tenant.endpoint_id, overlap=timedelta(hours=1)
            )
        await store_event(pool, make_event("rotate"))
        (received,) = await receiver.wait_for(1)
        await settled(pool, "rotate", "delivered")

    tenant.webhook.verify(received.body, received.headers)
    type(tenant.webhook)(secret).verify(received.body, received.headers)
    assert len(received.headers["webhook-signature"].split(" ")) == 2


async def test_the_old_secret_signs_no_more_after_its_time(pool: Pool) -> None:
    async with receive() as receiver, deliver(pool):
        tenant = await register(pool, "rotated", receiver.url)
        async with pool.acquire() as conn:
            secret = await endpoints.rotate_secret(
                conn, BOX, "rotated", tenant.endpoint_id, overlap=timedelta(0)
            )
        await store_event(pool, make_event("rotated"))
        (received,) = await receiver.wait_for(1)
        await settled(pool, "rotated", "delivered")

    type(tenant.webhook)(secret).verify(received.body, received.headers)
    assert len(received.headers["webhook-signature"].split(" ")) == 1


async def test_secrets_are_unreadable_at_rest(pool: Pool) -> None:
    async with receive() as receiver, pool.acquire() as conn:
        tenant = await register(pool, "rest", receiver.url)
        stored = await conn.fetchval(
            "SELECT secret FROM endpoints WHERE endpoint_id = $1", tenant.endpoint_id
        )
    assert b"whsec_" not in stored


async def test_gone_disables_the_endpoint_at_once_and_tells(pool: Pool) -> None:
    told: list[Event] = []

    async def emit(_: Connection, events: Sequence[Event]) -> None:
        told.extend(events)

    async with receive(answer_with(410)) as receiver, deliver(pool, emit=emit):
        tenant = await register(pool, "gone", receiver.url)
        await store_event(pool, *(make_event("gone", n) for n in range(100)))
        await hears(told)
        await store_event(pool, make_event("gone", 1000))
        await settled(pool, "gone", "cancelled")

    async with pool.acquire() as conn:
        (endpoint,) = await sql_endpoint(conn, tenant.endpoint_id)
        assert endpoint == "gone"
        rows = await sql.list_deliveries(conn, "gone", limit_rows=1000)
    assert len(rows) == 100
    assert {row.state for row in rows} == {"cancelled"}
    assert len(receiver.received) <= 8
    (event,) = told
    assert isinstance(event, WebhookDisabled)
    assert (event.data.endpoint_id, event.data.reason) == (tenant.endpoint_id, "gone")


async def test_an_event_that_comes_while_its_endpoint_is_disabled_waits_for_nobody(
    pool: Pool,
) -> None:
    """Neither first, nor after: else a delivery would be pending that nobody brings or cancels."""
    tenant = await register(pool, "closing", "http://127.0.0.1:9/hook")
    async with pool.acquire() as closing, pool.acquire() as storing:
        for number, plan in enumerate((plan_event, plan_test, plan_replay)):
            async with closing.transaction():
                await endpoints.disable_endpoint(closing, "closing", tenant.endpoint_id, now())
                planning = asyncio.create_task(plan(storing, tenant, number))
                await waits_for(closing, storing, planning)
            await asyncio.gather(planning, return_exceptions=True)
            async with pool.acquire() as conn:
                assert await sql.list_deliveries(conn, "closing", state="pending") == []
                await endpoints.enable_endpoint(conn, "closing", tenant.endpoint_id)


async def test_a_delivery_planned_just_before_the_endpoint_is_disabled_is_cancelled(
    pool: Pool,
) -> None:
    tenant = await register(pool, "closed", "http://127.0.0.1:9/hook")
    async with pool.acquire() as storing, pool.acquire() as closing:
        async with storing.transaction():
            await plan_event(storing, tenant, 1)
            disabling = asyncio.create_task(
                endpoints.disable_endpoint(closing, "closed", tenant.endpoint_id, now())
            )
            await waits_for(storing, closing, disabling)
        await disabling
        (row,) = await sql.list_deliveries(closing, "closed")
    assert row.state == "cancelled"


async def plan_event(conn: Connection, tenant: Tenant, number: int) -> None:
    await store.store_events(conn, [make_event(tenant.tenant, number)], now())


async def plan_test(conn: Connection, tenant: Tenant, _: int) -> None:
    await store.test_endpoint(conn, tenant.tenant, tenant.endpoint_id, now())


async def plan_replay(conn: Connection, tenant: Tenant, _: int) -> None:
    await store.replay(conn, tenant.tenant, event_ids=[make_event(tenant.tenant).id])


async def waits_for(holder: Connection, waiter: Connection, work: asyncio.Task[object]) -> None:
    """Return when the waiter's work waits for a lock of the holder; AssertionError if it ends."""
    ours, theirs = holder.get_server_pid(), waiter.get_server_pid()
    async with asyncio.timeout(15):
        while not await holder.fetchval("SELECT $1 = any(pg_blocking_pids($2))", ours, theirs):
            assert not work.done(), "it did not wait"
            await asyncio.sleep(0.02)


async def sql_endpoint(conn: Connection, endpoint_id: str) -> list[str | None]:
    rows = await conn.fetch(
        "SELECT disabled_reason FROM endpoints WHERE endpoint_id = $1", endpoint_id
    )
    return [row["disabled_reason"] for row in rows]


async def test_five_days_of_nothing_but_failure_disable(pool: Pool) -> None:
    told: list[Event] = []

    async def emit(_: Connection, events: Sequence[Event]) -> None:
        told.extend(events)

    async with receive(answer_with(500)) as receiver, deliver(pool, emit=emit):
        await register(pool, "failing", receiver.url)
        await store_event(pool, make_event("failing"))
        for passed in range(1, 6):
            await receiver.wait_for(passed)
            await attempts_written(pool, "failing", passed)
            assert not told
            await let_pass(pool, "failing", timedelta(days=1))
        await hears(told)

    (event,) = told
    assert isinstance(event, WebhookDisabled)
    assert event.data.reason == "failing"


async def test_a_success_ends_the_run_of_failures(pool: Pool) -> None:
    async with receive(answer_with(500)) as receiver, deliver(pool):
        tenant = await register(pool, "recover", receiver.url)
        await store_event(pool, make_event("recover", 1))
        await attempted(pool, "recover")
        async with pool.acquire() as conn:
            assert await failing_since(conn, tenant.endpoint_id) is not None
        receiver.answer = answer_with(200)
        await store_event(pool, make_event("recover", 2))
        await settled(pool, "recover", "delivered")

    async with pool.acquire() as conn:
        assert await failing_since(conn, tenant.endpoint_id) is None


async def failing_since(conn: Connection, endpoint_id: str) -> datetime | None:
    found: datetime | None = await conn.fetchval(
        "SELECT failing_since FROM endpoints WHERE endpoint_id = $1", endpoint_id
    )
    return found


async def change_address(pool: Pool, tenant: Tenant, url: str) -> None:
    async with pool.acquire() as conn:
        await endpoints.change_endpoint(
            conn, tenant.tenant, tenant.endpoint_id, url, event_types=None, allow_private=True
        )


async def test_an_old_address_that_is_gone_disables_no_endpoint_that_has_left_it(
    pool: Pool,
) -> None:
    """And what it would not take goes to the new one."""
    changed = asyncio.Event()

    async def answer_late(_: web.Request) -> web.Response:
        await changed.wait()
        return web.Response(status=410)

    async with receive(answer_late) as old, receive() as new, deliver(pool):
        tenant = await register(pool, "moved", old.url)
        await store_event(pool, make_event("moved"))
        await old.wait_for(1)
        await change_address(pool, tenant, new.url)
        changed.set()
        await attempts_written(pool, "moved", 1)
        await let_pass(pool, "moved", timedelta(minutes=1))
        await new.wait_for(1)
        await settled(pool, "moved", "delivered")


async def test_a_new_address_is_not_left_alone_because_the_old_one_asked_for_it(
    pool: Pool,
) -> None:
    async with (
        receive(answer_with(503, {"Retry-After": "3600"})) as old,
        receive() as new,
        deliver(pool),
    ):
        tenant = await register(pool, "paused", old.url)
        await store_event(pool, make_event("paused", 1))
        await attempts_written(pool, "paused", 1)
        await change_address(pool, tenant, new.url)
        async with pool.acquire() as conn:
            assert await failing_since(conn, tenant.endpoint_id) is None
        await store_event(pool, make_event("paused", 2))
        await new.wait_for(1)
        await settled(pool, "paused", "delivered")


async def test_a_disabled_endpoint_gets_nothing_until_enabled(pool: Pool) -> None:
    async with receive() as receiver, deliver(pool):
        tenant = await register(pool, "disabled", receiver.url)
        async with pool.acquire() as conn:
            await endpoints.disable_endpoint(conn, "disabled", tenant.endpoint_id, now())
        await store_event(pool, make_event("disabled", 1))
        async with pool.acquire() as conn:
            await endpoints.enable_endpoint(conn, "disabled", tenant.endpoint_id)
        await store_event(pool, make_event("disabled", 2))
        await settled(pool, "disabled", "delivered")

    assert [received.event_id for received in receiver.received] == [make_event("disabled", 2).id]


async def test_a_test_goes_to_one_endpoint_whatever_it_listens_to(pool: Pool) -> None:
    async with receive() as tested, receive() as other, deliver(pool):
        tenant = await register(pool, "testing", tested.url, ["deposit.confirmed"])
        await register(pool, "testing", other.url)
        async with pool.acquire() as conn:
            await store.test_endpoint(conn, "testing", tenant.endpoint_id, now())
        (received,) = await tested.wait_for(1)
        await settled(pool, "testing", "delivered")
        async with pool.acquire() as conn:
            with pytest.raises(store.EndpointUnknown):
                await store.test_endpoint(conn, "stranger", tenant.endpoint_id, now())

    assert json.loads(received.body)["type"] == "webhook.test"
    assert other.received == []


async def test_deliveries_of_a_deleted_endpoint_are_forgotten_some_at_a_time(pool: Pool) -> None:
    async with receive() as receiver:
        tenant = await register(pool, "deleted", receiver.url)
        await store_event(pool, *(make_event("deleted", number) for number in range(7)))
    ids = "SELECT delivery_id FROM deliveries WHERE endpoint_id = $1 ORDER BY delivery_id"
    async with pool.acquire() as conn, pool.acquire() as other:
        made = [row["delivery_id"] for row in await conn.fetch(ids, tenant.endpoint_id)]
        async with other.transaction():
            await other.execute(
                "SELECT FROM deliveries WHERE delivery_id = $1 FOR UPDATE", made[-1]
            )
            deleting = asyncio.create_task(
                endpoints.delete_endpoint(conn, "deleted", tenant.endpoint_id, now(), rows_max=3)
            )
            await until_blocked(pool, deleting)
            left = [row["delivery_id"] for row in await other.fetch(ids, tenant.endpoint_id)]
            assert await sql_endpoint(other, tenant.endpoint_id) == ["operator"]
        await deleting
        assert await sql_endpoint(other, tenant.endpoint_id) == []
    assert left == made[-1:]
