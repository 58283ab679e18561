"""Tenants get the wallets of consecutive indexes, whatever is undone or done twice at once."""

from __future__ import annotations

import asyncio
import secrets

import asyncpg
import pytest

from sql import tenants as tenants_sql
from sql.pool import Connection, Pool
from tests.support.races import until_blocked


async def add(conn: Connection, tenant: str) -> int:
    """Take a tenant in, perhaps once more; return its wallet's index."""
    await tenants_sql.add_tenant(conn, tenant, tenant)
    (found,) = await tenants_sql.list_tenants(conn, tenant)
    return found.wallet_index


def name() -> str:
    return "w-" + secrets.token_hex(6)


async def test_what_is_undone_leaves_no_gap(pool: Pool) -> None:
    """A sequence leaves one; after a crash of the server up to 32."""
    async with pool.acquire() as conn:
        first = await add(conn, name())
        undone = conn.transaction()
        await undone.start()
        assert await add(conn, name()) == first + 1
        await undone.rollback()
        assert await add(conn, name()) == first + 1


async def test_the_same_tenant_twice_at_once_takes_one_index(pool: Pool) -> None:
    tenant = name()
    async with pool.acquire() as one, pool.acquire() as other:
        async with one.transaction():
            first = await add(one, tenant)
            again = asyncio.create_task(add(other, tenant))
            await until_blocked(pool, again)
        assert await again == first
        assert await add(other, name()) == first + 1


async def test_an_index_is_not_chosen_by_whoever_adds_a_tenant(pool: Pool) -> None:
    async with pool.acquire() as conn:
        first = await add(conn, name())
        await conn.execute(
            "INSERT INTO tenants (tenant, name, wallet_index) VALUES ($1, $1, $2)", name(), 10**6
        )
        assert await add(conn, name()) == first + 2
        with pytest.raises(asyncpg.UniqueViolationError):
            await conn.execute("INSERT INTO wallet_counter VALUES (0)")
