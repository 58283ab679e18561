"""What one tenant's receivers answer, or do not answer, keeps no webhook of another tenant back."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from notifications import endpoints, store
from notifications.store import EndpointUnknown
from sql import endpoints as endpoints_sql
from sql import notifications as sql
from sql.pool import Pool
from tests.support.webhooks import (
    BOX,
    answer_with,
    attempted,
    deliver,
    hang,
    make_event,
    now,
    receive,
    register,
    settled,
    store_event,
)

pytestmark = pytest.mark.usefixtures("no_endpoints_of_other_tests")


@pytest.mark.parametrize(
    "retry_after",
    [
        "Fri, 31 Dec 99999999999999999999 23:59:59 GMT",
        "Fri, 31 Dec 2026 99999999999999999999:59:59 GMT",
        "Fri, 31 Dec 9999 23:59:59 +99999999999999999",
        "9" * 5000,
        "\N{LATIN SMALL LETTER Y WITH DIAERESIS}",
    ],
)
async def test_no_retry_after_ends_the_worker_of_all(pool: Pool, retry_after: str) -> None:
    busy = answer_with(503, {"Retry-After": retry_after})
    async with receive(busy) as hostile, receive() as quick, deliver(pool):
        await register(pool, "hostile", hostile.url)
        await register(pool, "neighbour", quick.url)
        await store_event(pool, make_event("hostile"))
        row = await attempted(pool, "hostile")
        await store_event(pool, make_event("neighbour"))
        await settled(pool, "neighbour", "delivered")

    assert row.last_error == "HTTP 503"
    async with pool.acquire() as conn:
        await conn.execute("DELETE FROM events")


async def test_an_answer_that_cannot_be_kept_holds_up_no_other(pool: Pool) -> None:
    """Who gave it is told again by the next worker."""
    taste = "ADD CONSTRAINT taste CHECK (response <> 'poison')"
    await pool.execute(f"ALTER TABLE delivery_attempts {taste}")
    async with receive(answer_with(500, text="poison")) as hostile, receive() as quick:
        await register(pool, "hostile", hostile.url)
        for _ in range(3):
            await register(pool, "healthy", quick.url)
        await store_event(pool, make_event("hostile"), make_event("healthy"))
        with capture_logs() as lines:
            async with deliver(pool):
                await hostile.wait_for(1)
                await settled(pool, "healthy", "delivered", 3)
        assert [line["event"] for line in lines] == ["webhook_outcome_refused"]
        await pool.execute("ALTER TABLE delivery_attempts DROP CONSTRAINT taste")
        async with deliver(pool):
            row = await attempted(pool, "hostile")
    assert (row.attempts, len(hostile.received)) == (1, 2)


async def test_a_tenant_with_many_hanging_endpoints_makes_no_other_wait(pool: Pool) -> None:
    async with receive(hang) as hanging, receive() as quick:
        for _ in range(90):
            await register(pool, "hanging", hanging.url)
        await register(pool, "quick", quick.url)
        await store_event(pool, *(make_event("hanging", n) for n in range(50)))
        async with deliver(pool, timeout_s=3600.0):
            await hanging.wait_for(100)
            await store_event(pool, *(make_event("quick", n) for n in range(300)))
            await quick.wait_for(300)

    assert len(hanging.received) < 256
    async with pool.acquire() as conn:
        await conn.execute("DELETE FROM events")


async def test_whoever_names_what_is_anothers_finds_nothing_and_changes_nothing(
    pool: Pool,
) -> None:
    """Two tenants with the same address, one naming the other's endpoint, event and delivery."""
    async with receive() as receiver, deliver(pool):
        await register(pool, "mallory", receiver.url)
        theirs = await register(pool, "victim", receiver.url)
        event = make_event("victim")
        await store_event(pool, event)
        (delivery,) = await settled(pool, "victim", "delivered")
        (received,) = receiver.received
    async with pool.acquire() as conn:
        before = await endpoints_sql.list_endpoints(conn, "victim")
        endpoint_id, url = theirs.endpoint_id, "http://127.0.0.1:9/mine"
        for attack in (
            endpoints.change_endpoint(
                conn, "mallory", endpoint_id, url, event_types=None, allow_private=True
            ),
            endpoints.rotate_secret(conn, BOX, "mallory", endpoint_id),
            endpoints.disable_endpoint(conn, "mallory", endpoint_id, now()),
            endpoints.enable_endpoint(conn, "mallory", endpoint_id),
            endpoints.delete_endpoint(conn, "mallory", endpoint_id, now()),
            store.test_endpoint(conn, "mallory", endpoint_id, now()),
        ):
            with pytest.raises(EndpointUnknown):
                await attack
        assert await store.replay(conn, "mallory", event_ids=[event.id]) == []
        assert (
            await store.replay(
                conn, "victim", event_ids=[event.id], endpoint_id=before[0].endpoint_id
            )
            != []
        )
        assert await sql.list_attempts(conn, "mallory", delivery.delivery_id) == []
        assert await sql.list_deliveries(conn, "mallory", event_id=event.id) == []
        assert await endpoints_sql.list_endpoints(conn, "mallory", endpoint_id) == []
        assert await endpoints_sql.list_endpoints(conn, "victim") == before
    theirs.webhook.verify(received.body, received.headers)
