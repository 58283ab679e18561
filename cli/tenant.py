"""`millrace tenant`: who uses Millrace."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from cli import session
from cli.errors import ALL_TENANTS, Problem, misused, not_found
from cli.options import JsonWanted, check_name
from cli.output import as_json, print_fields, print_rows

if TYPE_CHECKING:
    from sql.pool import Connection
    from sql.tenants import Tenant

app = typer.Typer(no_args_is_help=True, help="Who uses Millrace.")
NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")

TenantName = Annotated[str, typer.Argument(metavar="TENANT", help="The tenant's name.")]


@app.command("new")
def new(
    tenant: Annotated[
        str, typer.Argument(metavar="NAME", help="Its short name: a-z, 0-9, _ and -, up to 63.")
    ],
    name: Annotated[
        str | None, typer.Option("--name", callback=check_name, help="Its full name.")
    ] = None,
    json_wanted: JsonWanted = False,
) -> None:
    """Take a tenant in. A second time does nothing and says so."""
    if not NAME.fullmatch(tenant):
        raise misused(
            f"{tenant!r} is no short name: a-z, 0-9, _ and -, at most 63, no _ or - first"
        )
    made, row = session.run(_add(tenant, name or tenant))
    print_fields({**as_json(row), "new": made}, json_wanted=json_wanted)


@app.command("list")
def list_(json_wanted: JsonWanted = False) -> None:
    """List all tenants."""
    rows = [as_json(row) for row in session.run(_list())]
    print_rows(rows, json_wanted=json_wanted, empty="No tenants yet: `millrace tenant new NAME`.")


@app.command("suspend")
def suspend(tenant: TenantName, json_wanted: JsonWanted = False) -> None:
    """Pay nothing more for a tenant; what comes in is still credited and told.

    New orders are refused, approved ones wait unsigned, nobody gets a new address.
    """
    _move(tenant, "active", "suspended", json_wanted=json_wanted)


@app.command("resume")
def resume(tenant: TenantName, json_wanted: JsonWanted = False) -> None:
    """Pay for a suspended tenant again; orders that waited are signed."""
    _move(tenant, "suspended", "active", json_wanted=json_wanted)


def _move(tenant: str, from_status: str, status: str, *, json_wanted: bool) -> None:
    row = session.run(_move_tenant(tenant, from_status, status))
    print_fields(as_json(row), json_wanted=json_wanted)


async def _move_tenant(tenant: str, from_status: str, status: str) -> Tenant:
    from sql import tenants
    from sql.withdrawals import await_signing

    async with session.database(session.settings()) as pool, pool.acquire() as conn:
        moved = await tenants.move_tenant(conn, tenant, from_status, status)
        found = await require_tenant(conn, tenant)
        await await_signing(conn, tenant)
    if not moved:
        raise Problem(f"tenant {tenant!r} is {found.status}, not {from_status}")
    return found


async def require_tenant(conn: Connection, tenant: str) -> Tenant:
    """Return the tenant. Problem if there is none of that name."""
    from sql import tenants

    found = await tenants.list_tenants(conn, tenant)
    if not found:
        raise not_found(f"there is no tenant {tenant!r}", ALL_TENANTS)
    return found[0]


def with_tenant(columns: Sequence[str], tenant: str | None) -> tuple[str, ...]:
    """Return a table's columns, the tenant's behind the first unless all rows are of one."""
    return (*columns[:1], *(() if tenant else ("tenant",)), *columns[1:])


async def _add(tenant: str, name: str) -> tuple[bool, Tenant]:
    from sql import tenants

    async with session.database(session.settings()) as pool, pool.acquire() as conn:
        made = await tenants.add_tenant(conn, tenant, name)
        return made, await require_tenant(conn, tenant)


async def _list() -> list[Tenant]:
    from sql import tenants

    async with session.database(session.settings()) as pool, pool.acquire() as conn:
        return await tenants.list_tenants(conn)
