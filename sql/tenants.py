"""Tenants, their users and what these have."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

from sql.pool import Connection
from sql.queries import load_queries

_queries = load_queries("tenants")


class Tenant(NamedTuple):
    """Who uses Millrace; see the tenants table."""

    tenant: str
    name: str
    status: str
    wallet_index: int
    created_at: datetime


class OwnerBalance(NamedTuple):
    """What one owner has in one asset. total = available + locked + pending."""

    owner: str
    asset: str
    available_minor: int
    locked_minor: int
    pending_minor: int
    total_minor: int
    receivable_minor: int
    frozen_reason: str | None


class AddressRow(NamedTuple):
    """A watched address, or a memo on a pooled one. The empty owner is the tenant itself."""

    network: str
    address: str
    memo: str | None
    owner: str
    purpose: str
    key_path: str | None
    label: str | None
    created_at: datetime


async def add_tenant(conn: Connection, tenant: str, name: str) -> bool:
    """Take a tenant in; False if there is one of that name already."""
    return await _queries.add_tenant(conn, tenant=tenant, name=name) is not None


async def list_tenants(conn: Connection, tenant: str | None = None) -> list[Tenant]:
    """Return all tenants by name, or the one asked for."""
    return [Tenant(*row) for row in await _queries.list_tenants(conn, tenant=tenant)]


async def move_tenant(conn: Connection, tenant: str, from_status: str, status: str) -> bool:
    """Take a tenant from one status to another; False if it is not in that one."""
    moved = await _queries.move_tenant(conn, tenant=tenant, from_status=from_status, status=status)
    return moved is not None


async def add_users(conn: Connection, tenant: str, owners: Iterable[str]) -> None:
    """Take in users of a tenant; repeats do no harm."""
    await _queries.add_users(conn, tenant=tenant, owners=sorted(set(owners)))


async def is_user(conn: Connection, tenant: str, owner: str) -> bool:
    """Return whether the tenant has this user."""
    return bool(await _queries.is_user(conn, tenant=tenant, owner=owner))


async def list_balances(
    conn: Connection, tenant: str, owner: str | None, limit_rows: int
) -> list[OwnerBalance]:
    """Return balances by owner and asset, of one owner if given."""
    rows = await _queries.list_balances(conn, tenant=tenant, owner=owner, limit_rows=limit_rows)
    return [
        OwnerBalance._make((owner, asset, *map(int, amounts), frozen_reason))
        for owner, asset, *amounts, frozen_reason in rows
    ]


async def list_addresses(
    conn: Connection, tenant: str, owner: str | None, purpose: str | None, limit_rows: int
) -> list[AddressRow]:
    """Return a tenant's addresses and memos, newest first, of one owner or purpose if given."""
    rows = await _queries.list_addresses(
        conn, tenant=tenant, owner=owner, purpose=purpose, limit_rows=limit_rows
    )
    return [AddressRow(*row) for row in rows]
