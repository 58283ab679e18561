"""`millrace webhook`: where tenants want their events sent."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import session
from cli.errors import Problem, misused, not_found
from cli.options import ID_MAX, JsonWanted, Limit, Tenant
from cli.output import as_json, counted, plain, print_fields, print_json, print_rows, say
from cli.tenant import require_tenant

if TYPE_CHECKING:
    from custody.box import SecretBox
    from settings.model import Settings
    from sql.pool import Connection

app = typer.Typer(no_args_is_help=True, help="Where tenants want their events sent.")
OTHER_KEY = (
    "Give the key that the role notify has. If it is lost, disable every endpoint, then add them"
    " again with the new key."
)
COLUMNS = ("endpoint_id", "url", "event_types", "state")
DELIVERY_COLUMNS = (
    "delivery_id", "event_id", "type", "endpoint_id", "state", "attempts", "next_attempt_at",
    "last_error",
)  # fmt: skip
STATES = ("pending", "delivered", "failed", "cancelled")
DISABLED = {
    "gone": "disabled: it answered 410",
    "failing": "disabled: it failed for days",
    "operator": "disabled by an operator",
}

EndpointId = Annotated[str, typer.Argument(metavar="ENDPOINT", help="As in `webhook list`.")]
MOMENTS = ["%Y-%m-%dT%H:%M:%S%z", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d"]


@app.command("add")
def add(
    url: Annotated[
        str, typer.Argument(metavar="URL", help="https://… Private addresses are refused.")
    ],
    *,
    tenant: Tenant,
    event_types: Annotated[
        list[str] | None,
        typer.Option("--type", help="This event type only; may be repeated. Without it: all."),
    ] = None,
    json_wanted: JsonWanted = False,
) -> None:
    """Register an endpoint. Its secret is printed this once, for the receiver to verify with."""
    print_fields(session.run(_add(tenant, url, event_types or None)), json_wanted=json_wanted)


@app.command("list")
def list_(*, tenant: Tenant, json_wanted: JsonWanted = False) -> None:
    """List a tenant's endpoints."""
    rows = session.run(_list(tenant))
    if not json_wanted:
        rows = [{**row, **_in_words(row)} for row in rows]
    print_rows(rows, json_wanted=json_wanted, empty="No endpoints.", columns=COLUMNS)


@app.command("test")
def test(endpoint_id: EndpointId, *, tenant: Tenant, json_wanted: JsonWanted = False) -> None:
    """Send a webhook.test to one endpoint."""
    delivery_id = session.run(_test(tenant, endpoint_id))
    print_fields({"delivery_id": delivery_id}, json_wanted=json_wanted)


@app.command("replay")
def replay(
    event_ids: Annotated[
        list[str] | None, typer.Argument(metavar="EVENT", help="By the events' ids, evt_….")
    ] = None,
    *,
    tenant: Tenant,
    since: Annotated[
        datetime | None,
        typer.Option("--since", formats=MOMENTS, metavar="TIME", help="From this time on."),
    ] = None,
    until: Annotated[
        datetime | None,
        typer.Option("--until", formats=MOMENTS, metavar="TIME", help="Before this time."),
    ] = None,
    endpoint_id: Annotated[str | None, typer.Option("--endpoint", help="To this one only.")] = None,
    json_wanted: JsonWanted = False,
) -> None:
    """Deliver events again, by their ids or from a time on (UTC). They keep their ids."""
    if not event_ids and since is None:
        raise misused("say which events: by id, or --since a time")
    since, until = _utc(since), _utc(until)
    if since is not None and until is not None and until <= since:
        raise misused("--until must be after --since")
    ids = session.run_again(lambda: _replay(tenant, event_ids or None, since, until, endpoint_id))
    if json_wanted:
        print_json({"delivery_ids": ids})
    else:
        say(f"{counted(len(ids), 'delivery', 'deliveries')} planned")
    if event_ids and not ids:
        raise not_found(
            "none of these events is kept for this tenant and an enabled endpoint",
            "Events are pruned in time; `millrace webhook list` shows the endpoints.",
        )


@app.command("deliveries")
def deliveries(
    *,
    tenant: Tenant,
    endpoint_id: Annotated[str | None, typer.Option("--endpoint", help="To this one only.")] = None,
    event_id: Annotated[str | None, typer.Option("--event", help="Of this event only.")] = None,
    state: Annotated[
        str | None, typer.Option("--state", help=f"One of {', '.join(STATES)}.")
    ] = None,
    before_id: Annotated[
        int | None, typer.Option("--before", max=ID_MAX, help="Those before this delivery.")
    ] = None,
    limit: Limit = 100,
    json_wanted: JsonWanted = False,
) -> None:
    """List what was sent or is to be sent to a tenant's endpoints, newest first."""
    if state is not None and state not in STATES:
        raise misused(f"{state!r} is no state; there is {', '.join(STATES)}")
    rows = session.run(
        _deliveries(
            tenant,
            limit,
            endpoint_id=endpoint_id,
            event_id=event_id,
            state=state,
            before_id=before_id,
        )
    )
    print_rows(rows, json_wanted=json_wanted, empty="No deliveries.", columns=DELIVERY_COLUMNS)


@app.command("attempts")
def attempts(
    delivery_id: Annotated[
        int, typer.Argument(metavar="DELIVERY", max=ID_MAX, help="As in `webhook deliveries`.")
    ],
    *,
    tenant: Tenant,
    json_wanted: JsonWanted = False,
) -> None:
    """Show the log of one delivery: each attempt, and what the receiver answered."""
    rows = session.run(_attempts(tenant, delivery_id))
    empty = "No attempts: it is not tried yet, or this tenant has no such delivery."
    print_rows(rows, json_wanted=json_wanted, empty=empty)


@app.command("rotate")
def rotate(endpoint_id: EndpointId, *, tenant: Tenant, json_wanted: JsonWanted = False) -> None:
    """Give an endpoint a new secret, printed this once. For 24 hours the old one signs too."""
    secret = session.run(_rotate(tenant, endpoint_id))
    print_fields({"endpoint_id": endpoint_id, "secret": secret}, json_wanted=json_wanted)


@app.command("enable")
def enable(endpoint_id: EndpointId, *, tenant: Tenant) -> None:
    """Send to an endpoint again. What it missed is not sent by itself: replay it."""
    session.run_again(lambda: _switch(tenant, endpoint_id, on=True))
    say(f"{endpoint_id} is enabled")


@app.command("disable")
def disable(endpoint_id: EndpointId, *, tenant: Tenant) -> None:
    """Send nothing to an endpoint any more; what waits for it is cancelled."""
    session.run_again(lambda: _switch(tenant, endpoint_id, on=False))
    say(f"{endpoint_id} is disabled")


def _in_words(row: dict[str, Any]) -> dict[str, str]:
    """Return which events an endpoint gets and whether it gets them."""
    state = "enabled"
    if row["disabled_at"] is not None:
        state = DISABLED[row["disabled_reason"]]
    elif row["failing_since"] is not None:
        state = f"failing since {row['failing_since']}"
    return {"event_types": ", ".join(row["event_types"] or ["all"]), "state": state}


def _utc(moment: datetime | None) -> datetime | None:
    """Return a moment in UTC, as which it is meant if it names no zone."""
    if moment is None or moment.tzinfo is None:
        return moment and moment.replace(tzinfo=UTC)
    try:
        return moment.astimezone(UTC)
    except OverflowError as error:
        raise misused(f"{moment.isoformat()} is outside of what a calendar has in UTC") from error


def open_box(config: Settings) -> SecretBox:
    """Return what seals webhook secrets. Problem if its key was not given."""
    from custody.box import SecretBox

    if config.webhook_enc_key is None:
        raise misused(
            "MILLRACE_WEBHOOK_ENC_KEY is not set: it seals the secrets of endpoints",
            "Give it in the environment, the same as the role notify has.",
        )
    return SecretBox(config.webhook_enc_key.get_secret_value())


@asynccontextmanager
async def _transaction(config: Settings, tenant: str) -> AsyncIterator[Connection]:
    """Open a transaction of a tenant that exists; tell what is wrong with endpoints."""
    from notifications.endpoints import UnknownEventType
    from notifications.guard import ForbiddenAddress
    from notifications.signing import SecretUnreadable
    from notifications.store import EndpointUnknown

    async with session.database(config) as pool:
        try:
            async with pool.acquire() as conn, conn.transaction():
                await require_tenant(conn, tenant)
                yield conn
        except UnknownEventType as error:
            raise misused(
                f"there is no event type {str(error)!r}", "docs/webhooks.md lists them."
            ) from error
        except ForbiddenAddress as error:
            raise Problem(
                f"no webhook goes there: {error}",
                remedy="Give an https:// URL of a public host. For development"
                " webhook_allow_private lifts that (docs/webhooks.md).",
            ) from error
        except SecretUnreadable as error:
            raise Problem(
                "MILLRACE_WEBHOOK_ENC_KEY does not open the secrets of the endpoints there are",
                meaning="With two keys, notify could sign for some endpoints only.",
                remedy=OTHER_KEY,
            ) from error
        except EndpointUnknown as error:
            raise not_found(
                f"tenant {tenant!r} has no endpoint {str(error)!r} for that",
                "`millrace webhook list` shows them all, and which are disabled.",
            ) from error


async def _add(tenant: str, url: str, event_types: list[str] | None) -> dict[str, Any]:
    from notifications.endpoints import register_endpoint

    config = session.settings()
    box = open_box(config)
    async with _transaction(config, tenant) as conn:
        made = await register_endpoint(
            conn,
            box,
            tenant,
            url,
            datetime.now(UTC),
            event_types=event_types,
            allow_private=config.webhook_allow_private,
        )
    return {"endpoint_id": made.endpoint_id, "url": url, "secret": made.secret}


async def _list(tenant: str) -> list[dict[str, Any]]:
    from sql import endpoints

    async with _transaction(session.settings(), tenant) as conn:
        rows = await endpoints.list_endpoints(conn, tenant)
    return [{name: plain(value) for name, value in row._asdict().items()} for row in rows]


async def _test(tenant: str, endpoint_id: str) -> int:
    from notifications.store import test_endpoint

    async with _transaction(session.settings(), tenant) as conn:
        return await test_endpoint(conn, tenant, endpoint_id, datetime.now(UTC))


async def _replay(
    tenant: str,
    event_ids: list[str] | None,
    since: datetime | None,
    until: datetime | None,
    endpoint_id: str | None,
) -> list[int]:
    from notifications.store import EndpointUnknown
    from notifications.store import replay as plan
    from sql import endpoints

    async with _transaction(session.settings(), tenant) as conn:
        known = {row.endpoint_id for row in await endpoints.list_endpoints(conn, tenant)}
        if endpoint_id is not None and endpoint_id not in known:
            raise EndpointUnknown(endpoint_id)
        return await plan(
            conn,
            tenant,
            event_ids=event_ids,
            since=since,
            until=until,
            endpoint_id=endpoint_id,
        )


async def _deliveries(
    tenant: str,
    limit: int,
    *,
    endpoint_id: str | None,
    event_id: str | None,
    state: str | None,
    before_id: int | None,
) -> list[dict[str, Any]]:
    from sql import notifications

    async with _transaction(session.settings(), tenant) as conn:
        rows = await notifications.list_deliveries(
            conn,
            tenant,
            endpoint_id=endpoint_id,
            event_id=event_id,
            state=state,
            before_id=before_id,
            limit_rows=limit,
        )
    return [as_json(row) for row in rows]


async def _attempts(tenant: str, delivery_id: int) -> list[dict[str, Any]]:
    from sql import notifications

    async with _transaction(session.settings(), tenant) as conn:
        rows = await notifications.list_attempts(conn, tenant, delivery_id)
    return [as_json(row) for row in rows]


async def _rotate(tenant: str, endpoint_id: str) -> str:
    from notifications.endpoints import rotate_secret

    config = session.settings()
    box = open_box(config)
    async with _transaction(config, tenant) as conn:
        return await rotate_secret(conn, box, tenant, endpoint_id)


async def _switch(tenant: str, endpoint_id: str, *, on: bool) -> None:
    from notifications.endpoints import disable_endpoint, enable_endpoint

    async with _transaction(session.settings(), tenant) as conn:
        if on:
            await enable_endpoint(conn, tenant, endpoint_id)
        else:
            await disable_endpoint(conn, tenant, endpoint_id, datetime.now(UTC))
