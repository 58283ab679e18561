"""Where a tenant wants its events: registering, changing, rotating secrets, disabling.

The secret is returned once, when it is made. Afterwards it is kept encrypted only.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from notifications.guard import check_endpoint
from notifications.signing import SecretBox, make_secret, open_secret, seal_secret
from notifications.store import EndpointUnknown
from sql import endpoints as sql
from sql import notifications as deliveries_sql
from sql.pool import Connection
from topics.events import EVENT_TYPES

ROTATION = timedelta(hours=24)
"""How long the old secret signs beside the new one."""
DELETE_ROWS = 1000
"""Deliveries of an endpoint forgotten at a time."""


class UnknownEventType(ValueError):
    """A type that no event has."""


class NewEndpoint(NamedTuple):
    """An endpoint and its secret, which is not shown again."""

    endpoint_id: str
    secret: str

    def __repr__(self) -> str:
        """Leave the secret out, so that it gets into no log."""
        return f"NewEndpoint(endpoint_id={self.endpoint_id!r})"


async def register_endpoint(
    conn: Connection,
    box: SecretBox,
    tenant: str,
    url: str,
    now: datetime,
    *,
    event_types: Sequence[str] | None = None,
    allow_private: bool = False,
) -> NewEndpoint:
    """Register a URL for events of these types (None: all). It gets what happens from now on.

    Raises notifications.guard.ForbiddenAddress, UnknownEventType and what `check_box` raises.
    """
    _check_types(event_types)
    await check_box(conn, box)
    await check_endpoint(url, allow_private=allow_private)
    endpoint = NewEndpoint("ep_" + secrets.token_hex(12), make_secret())
    await sql.add_endpoint(
        conn,
        endpoint_id=endpoint.endpoint_id,
        tenant=tenant,
        url=url,
        event_types=event_types,
        secret=seal_secret(box, endpoint.endpoint_id, endpoint.secret),
        now=now,
    )
    return endpoint


async def check_box(conn: Connection, box: SecretBox) -> bool:
    """Whether there is a secret, which then opens: what one box seals, another cannot sign with.

    Raises notifications.signing.SecretUnreadable. Endpoints that are disabled do not count, so
    that there is a way on with a new key if the old one is lost.
    """
    kept = await sql.newest_secret(conn)
    if kept is not None:
        open_secret(box, kept.endpoint_id, kept.secret)
    return kept is not None


async def change_endpoint(
    conn: Connection,
    tenant: str,
    endpoint_id: str,
    url: str,
    *,
    event_types: Sequence[str] | None,
    allow_private: bool = False,
) -> None:
    """Change address and types; deliveries that wait go to the new address.

    Raises EndpointUnknown and what `register_endpoint` raises.
    """
    _check_types(event_types)
    await check_endpoint(url, allow_private=allow_private)
    _require(await sql.change_endpoint(conn, tenant, endpoint_id, url, event_types), endpoint_id)


async def rotate_secret(
    conn: Connection,
    box: SecretBox,
    tenant: str,
    endpoint_id: str,
    *,
    overlap: timedelta = ROTATION,
) -> str:
    """Give an endpoint a new secret and return it; both sign until `overlap` is over.

    A rotation within the overlap ends the older secret at once: two sign at most. Raises
    EndpointUnknown and what `check_box` raises.
    """
    await check_box(conn, box)
    secret = make_secret()
    sealed = seal_secret(box, endpoint_id, secret)
    rotated = await sql.rotate_secret(conn, tenant, endpoint_id, sealed, overlap.total_seconds())
    _require(rotated, endpoint_id)
    return secret


async def enable_endpoint(conn: Connection, tenant: str, endpoint_id: str) -> None:
    """Send to it again. What it missed is not sent by itself: replay it. Raises EndpointUnknown."""
    _require(await sql.enable_endpoint(conn, tenant, endpoint_id), endpoint_id)


async def disable_endpoint(conn: Connection, tenant: str, endpoint_id: str, now: datetime) -> None:
    """Send nothing there any more; deliveries that wait are cancelled. Raises EndpointUnknown."""
    _require(await sql.disable_endpoint(conn, tenant, endpoint_id, now), endpoint_id)
    await deliveries_sql.cancel_deliveries(conn, [endpoint_id])


async def delete_endpoint(
    conn: Connection,
    tenant: str,
    endpoint_id: str,
    now: datetime,
    rows_max: int = DELETE_ROWS,
) -> None:
    """Forget it, its deliveries and their log, in many transactions: the caller must have none.

    Nothing is sent there from the first of them on. Ended halfway, it is done by calling it again.
    Raises EndpointUnknown.
    """
    _require(await sql.disable_endpoint(conn, tenant, endpoint_id, now), endpoint_id)
    while await sql.forget_deliveries(conn, endpoint_id, rows_max) == rows_max:
        pass
    _require(await sql.delete_endpoint(conn, tenant, endpoint_id), endpoint_id)


def _require(found: bool, endpoint_id: str) -> None:
    if not found:
        raise EndpointUnknown(endpoint_id)


def _check_types(event_types: Sequence[str] | None) -> None:
    for name in event_types or ():
        if name not in EVENT_TYPES:
            raise UnknownEventType(name)
