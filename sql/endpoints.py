"""Where tenants want their events sent."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from sql.pool import Connection
from sql.queries import load_queries

_queries = load_queries("endpoints")


class EndpointRow(NamedTuple):
    """An endpoint as its tenant may see it: without secrets."""

    endpoint_id: str
    tenant: str
    url: str
    event_types: list[str] | None
    disabled_at: datetime | None
    disabled_reason: str | None
    failing_since: datetime | None
    created_at: datetime


class SealedSecret(NamedTuple):
    """An endpoint's secret as it is kept."""

    endpoint_id: str
    secret: bytes


async def add_endpoint(
    conn: Connection,
    *,
    endpoint_id: str,
    tenant: str,
    url: str,
    event_types: Sequence[str] | None,
    secret: bytes,
    now: datetime,
) -> None:
    """Add an endpoint; `secret` is encrypted."""
    await _queries.add_endpoint(
        conn,
        endpoint_id=endpoint_id,
        tenant=tenant,
        url=url,
        event_types=None if event_types is None else list(event_types),
        secret=secret,
        now=now,
    )


async def list_endpoints(
    conn: Connection, tenant: str, endpoint_id: str | None = None
) -> list[EndpointRow]:
    """Return a tenant's endpoints, oldest first, or the one asked for."""
    rows = await _queries.list_endpoints(conn, tenant=tenant, endpoint_id=endpoint_id)
    return [EndpointRow(*row) for row in rows]


async def change_endpoint(
    conn: Connection, tenant: str, endpoint_id: str, url: str, event_types: Sequence[str] | None
) -> bool:
    """Change address and types; False if there is no such endpoint."""
    changed = await _queries.change_endpoint(
        conn,
        tenant=tenant,
        endpoint_id=endpoint_id,
        url=url,
        event_types=None if event_types is None else list(event_types),
    )
    return changed is not None


async def newest_secret(conn: Connection) -> SealedSecret | None:
    """Return the encrypted secret of the newest endpoint in use, of whatever tenant."""
    row = await _queries.newest_secret(conn)
    return None if row is None else SealedSecret(*row)


async def rotate_secret(
    conn: Connection, tenant: str, endpoint_id: str, secret: bytes, overlap_s: float
) -> bool:
    """Put a new encrypted secret in place; False if there is no such endpoint."""
    rotated = await _queries.rotate_secret(
        conn,
        tenant=tenant,
        endpoint_id=endpoint_id,
        secret=secret,
        overlap_s=overlap_s,
    )
    return rotated is not None


async def enable_endpoint(conn: Connection, tenant: str, endpoint_id: str) -> bool:
    """Send to it again; False if there is no such endpoint."""
    enabled = await _queries.enable_endpoint(conn, tenant=tenant, endpoint_id=endpoint_id)
    return enabled is not None


async def disable_endpoint(conn: Connection, tenant: str, endpoint_id: str, now: datetime) -> bool:
    """Send nothing there any more; False if there is no such endpoint."""
    disabled = await _queries.disable_endpoint(
        conn, tenant=tenant, endpoint_id=endpoint_id, now=now
    )
    return disabled is not None


async def forget_deliveries(conn: Connection, endpoint_id: str, limit_rows: int) -> int:
    """Forget at most `limit_rows` deliveries of an endpoint; return how many there were."""
    rows = _queries.forget_deliveries(conn, endpoint_id=endpoint_id, limit_rows=limit_rows)
    return len(await rows)


async def delete_endpoint(conn: Connection, tenant: str, endpoint_id: str) -> bool:
    """Forget an endpoint, and what deliveries it still has; False if there is none."""
    deleted = await _queries.delete_endpoint(conn, tenant=tenant, endpoint_id=endpoint_id)
    return deleted is not None
