"""Webhooks from the store to a receiver, on a real database and real HTTP servers."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from uuid import uuid4

import pytest
from aiohttp import web

from notifications import store
from sql import notifications as sql
from sql.pool import Connection, Pool
from tests.support.races import until_blocked
from tests.support.webhooks import (
    answer_with,
    attempted,
    deliver,
    hang,
    let_pass,
    make_event,
    now,
    receive,
    register,
    settled,
    store_event,
)
from topics.events import encode_event

pytestmark = pytest.mark.usefixtures("no_endpoints_of_other_tests")


async def test_a_webhook_verifies_with_the_public_package(pool: Pool) -> None:
    async with receive() as receiver, deliver(pool):
        tenant = await register(pool, "verify", receiver.url)
        event = make_event("verify")
        await store_event(pool, event)
        (received,) = await receiver.wait_for(1)
        (row,) = await settled(pool, "verify", "delivered")

    assert tenant.webhook.verify(received.body, received.headers) == json.loads(received.body)
    assert received.body == encode_event(event)
    assert received.event_id == event.id
    assert received.headers["content-type"] == "application/json"
    assert received.headers["user-agent"].startswith("Millrace")
    assert received.headers["accept-encoding"] == "identity"
    assert (row.attempts, row.last_error) == (1, None)


async def test_an_event_of_an_unknown_tenant_harms_no_other(pool: Pool) -> None:
    async with receive() as receiver:
        await register(pool, "known", receiver.url)
        await store_event(pool, make_event("nobody-took-in"), make_event("known"))
        async with deliver(pool):
            await settled(pool, "known", "delivered")


async def test_an_event_stored_twice_is_delivered_once(pool: Pool) -> None:
    async with receive() as receiver:
        await register(pool, "twice", receiver.url)
        event = make_event("twice")
        await store_event(pool, event, event)
        await store_event(pool, event)
        async with deliver(pool):
            await settled(pool, "twice", "delivered")

    async with pool.acquire() as conn:
        assert len(await sql.list_deliveries(conn, "twice")) == 1
    assert len(receiver.received) == 1


async def test_an_endpoint_hears_its_own_types_and_tenant_only(pool: Pool) -> None:
    async with receive() as wanted, receive() as other, receive() as stranger, deliver(pool):
        await register(pool, "types", wanted.url, ["hot_wallet.low"])
        await register(pool, "types", other.url, ["deposit.confirmed"])
        await register(pool, "stranger", stranger.url)
        await store_event(pool, make_event("types"))
        await wanted.wait_for(1)
        await settled(pool, "types", "delivered")

    assert (len(other.received), len(stranger.received)) == (0, 0)


async def test_a_hanging_endpoint_slows_no_other(pool: Pool) -> None:
    async with receive(hang) as hanging, receive() as quick:
        await register(pool, "hanging", hanging.url)
        await register(pool, "quick", quick.url)
        await store_event(pool, *(make_event("hanging", n) for n in range(500)))
        await store_event(pool, *(make_event("quick", n) for n in range(300)))
        async with deliver(pool, timeout_s=3600.0):
            await hanging.wait_for(1)
            await quick.wait_for(300)

    assert len({received.event_id for received in quick.received}) == 300
    assert len(hanging.received) <= 4


async def test_a_time_out_is_a_failure_and_is_tried_again(pool: Pool) -> None:
    async with receive(hang) as receiver, deliver(pool, timeout_s=0.1):
        await register(pool, "timeout", receiver.url)
        await store_event(pool, make_event("timeout"))
        row = await attempted(pool, "timeout")

    assert (row.state, row.attempts) == ("pending", 1)
    async with pool.acquire() as conn:
        (attempt,) = await sql.list_attempts(conn, "timeout", row.delivery_id)
    assert attempt.error is not None
    assert "Timeout" in attempt.error
    assert attempt.status is None


async def test_claims_of_a_dead_worker_are_delivered_by_another(pool: Pool) -> None:
    async with receive() as receiver:
        await register(pool, "dead", receiver.url)
        await store_event(pool, *(make_event("dead", n) for n in range(20)))
        async with pool.acquire() as conn:
            worker = uuid4()
            await sql.renew_worker(conn, worker, 0.5)
            claims = await sql.claim_deliveries(
                conn, worker, limit_rows=100, room_default=100, rooms={}, held_by={}
            )
            assert len(claims) == 20
        async with deliver(pool):
            await settled(pool, "dead", "delivered", 20)

    assert len({received.event_id for received in receiver.received}) == 20


async def test_a_cancelled_worker_gives_back_what_it_had(pool: Pool) -> None:
    async with receive(hang) as receiver:
        await register(pool, "cancel", receiver.url)
        await store_event(pool, *(make_event("cancel", n) for n in range(10)))
        async with deliver(pool, timeout_s=3600.0):
            await receiver.wait_for(4)
        receiver.answer = answer_with(200)
        async with deliver(pool):
            await settled(pool, "cancel", "delivered", 10)


async def test_two_workers_share_and_repeat_nothing(pool: Pool) -> None:
    async with receive() as receiver:
        await register(pool, "share", receiver.url)
        await store_event(pool, *(make_event("share", n) for n in range(400)))
        async with deliver(pool), deliver(pool):
            await settled(pool, "share", "delivered", 400)

    assert len(receiver.received) == 400


async def test_retry_after_is_waited_for_by_the_whole_endpoint(pool: Pool) -> None:
    busy = answer_with(503, {"Retry-After": "120"})
    async with receive(busy) as receiver, deliver(pool):
        await register(pool, "later", receiver.url)
        await store_event(pool, make_event("later", 1))
        row = await attempted(pool, "later")
        receiver.answer = answer_with(200)
        await store_event(pool, make_event("later", 2))
        await asyncio.sleep(0.3)
        before = len(receiver.received)
        await let_pass(pool, "later", timedelta(seconds=130))
        await settled(pool, "later", "delivered", 2)

    assert row.next_attempt_at >= now() + timedelta(seconds=100)
    assert before == 1


async def test_redirects_are_failures_and_are_not_followed(pool: Pool) -> None:
    async with receive() as target:
        redirect = answer_with(302, {"Location": target.url})
        async with receive(redirect) as receiver, deliver(pool):
            await register(pool, "redirect", receiver.url)
            await store_event(pool, make_event("redirect"))
            row = await attempted(pool, "redirect")

    assert (row.state, row.last_error) == ("pending", "HTTP 302")
    assert target.received == []


async def test_a_long_answer_is_cut_and_a_nul_is_kept_out(pool: Pool) -> None:
    async def flood(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(status=500)
        await response.prepare(request)
        while True:
            await response.write(b"\0" * 65536)

    async with receive(flood) as receiver, deliver(pool, timeout_s=30.0):
        await register(pool, "flood", receiver.url)
        await store_event(pool, make_event("flood"))
        row = await attempted(pool, "flood")

    async with pool.acquire() as conn:
        (attempt,) = await sql.list_attempts(conn, "flood", row.delivery_id)
    assert attempt.response == "\ufffd" * 1024
    assert attempt.status == 500


async def test_private_addresses_get_nothing_though_registered(pool: Pool) -> None:
    async with receive() as receiver, deliver(pool, allow_private=False):
        await register(pool, "private", receiver.url)
        await register(pool, "private", receiver.url.replace("http://", "https://"))
        await store_event(pool, make_event("private"))
        await settled(pool, "private", "pending", 2)
        await attempted(pool, "private")

    assert receiver.received == []


async def test_replay_sends_again_under_the_same_id(pool: Pool) -> None:
    async with receive() as receiver, deliver(pool):
        tenant = await register(pool, "replay", receiver.url)
        await store_event(pool, *(make_event("replay", n) for n in range(3)))
        await settled(pool, "replay", "delivered", 3)
        chosen = make_event("replay", 1)
        async with pool.acquire() as conn:
            by_id = await store.replay(conn, "replay", event_ids=[chosen.id])
            by_time = await store.replay(
                conn,
                "replay",
                since=now() - timedelta(hours=1),
                until=now() + timedelta(hours=1),
                endpoint_id=tenant.endpoint_id,
            )
            nothing = await store.replay(conn, "replay", since=now() + timedelta(hours=1))
            elsewhere = await store.replay(conn, "stranger", event_ids=[chosen.id])
        await settled(pool, "replay", "delivered", 7)

    assert (len(by_id), len(by_time), nothing, elsewhere) == (1, 3, [], [])
    assert [received.event_id for received in receiver.received].count(chosen.id) == 3


async def test_pruning_forgets_old_events_a_bounded_number_at_a_time(pool: Pool) -> None:
    async with receive() as receiver:
        await register(pool, "prune", receiver.url)
    long_ago = now() - timedelta(days=31)
    async with pool.acquire() as conn:
        await store.store_events(conn, [make_event("prune", n) for n in range(5)], long_ago)
        await give_up(conn, "prune")
        await store.store_events(conn, [make_event("prune", 5)], now())
        older_than = now() - timedelta(days=30)
        pruned = [await store.prune_events(conn, older_than, rows_max=3) for _ in range(3)]
        left = await sql.list_deliveries(conn, "prune")

    assert pruned == [3, 2, 0]
    assert [row.event_id for row in left] == [make_event("prune", 5).id]


async def test_an_event_that_waits_for_its_delivery_is_kept_however_old_it_is(pool: Pool) -> None:
    async with receive() as receiver:
        await register(pool, "late", receiver.url)
        long_ago = now() - timedelta(days=31)
        async with pool.acquire() as conn:
            await store.store_events(conn, [make_event("late", 0)], long_ago)
            await store.prune_events(conn, now() - timedelta(days=30))
        async with deliver(pool):
            (received,) = await receiver.wait_for(1)
    assert received.event_id == make_event("late", 0).id


async def give_up(conn: Connection, tenant: str) -> None:
    """Pretend that every attempt to deliver a tenant's events was made in vain."""
    await conn.execute(
        "UPDATE deliveries SET state = 'failed' FROM events"
        " WHERE deliveries.event_id = events.event_id AND events.tenant = $1",
        tenant,
    )


async def test_a_replay_leaves_out_what_is_being_pruned_in_that_moment(pool: Pool) -> None:
    async with receive() as receiver:
        await register(pool, "pruning", receiver.url)
    long_ago = now() - timedelta(days=31)
    async with pool.acquire() as replaying:
        async with pool.acquire() as conn, conn.transaction():
            await store.store_events(replaying, [make_event("pruning", 0)], long_ago)
            await give_up(replaying, "pruning")
            await store.store_events(replaying, [make_event("pruning", 1)], now())
            assert await store.prune_events(conn, now() - timedelta(days=30)) > 0
            planning = asyncio.create_task(store.replay(replaying, "pruning", since=long_ago))
            await until_blocked(pool, planning)
        (planned,) = await planning
        rows = await sql.list_deliveries(replaying, "pruning")
    (row,) = [row for row in rows if row.delivery_id == planned]
    assert row.event_id == make_event("pruning", 1).id
