"""What one tenant's receivers answer, or do not answer, keeps no webhook of another tenant back."""

from __future__ import annotations

import pytest

from sql.pool import Pool
from tests.support.webhooks import (
    answer_with,
    attempted,
    deliver,
    hang,
    make_event,
    receive,
    register,
    settled,
    store_event,
)


@pytest.fixture(autouse=True)
async def no_endpoints_of_other_tests(pool: Pool) -> None:
    async with pool.acquire() as conn:
        await conn.execute("DELETE FROM endpoints")


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
