"""`millrace deposit`: what came in, and whose it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import session
from cli.asset import decimals_by_asset
from cli.errors import misused
from cli.operator import operator_of
from cli.options import ID_MAX, Actor, JsonWanted, Limit, Owner, OwnerWanted, Tenant, TenantWanted
from cli.output import as_json, print_fields, print_rows, whole, without_amount
from cli.shown import show_addresses
from cli.tenant import require_tenant, with_tenant

if TYPE_CHECKING:
    from sql.deposits import Deposit

app = typer.Typer(no_args_is_help=True, help="What came in, and whose it is.")
COLUMNS = (
    "deposit_id", "owner", "amount", "asset", "status", "ignored_reason", "height",
    "confirm_height", "transaction_id", "transfer_index",
)  # fmt: skip
UNASSIGNED_COLUMNS = (
    "deposit_id", "amount", "asset", "status", "memo", "sender", "height", "transaction_id",
)  # fmt: skip
WAITING_COLUMNS = (
    "deposit_id", "tenant", "owner", "amount", "asset", "waits_for", "height", "confirm_height",
    "detected_at", "transaction_id",
)  # fmt: skip

PARTIES = ("address", "sender")


@app.command("list")
def list_(
    *,
    tenant: TenantWanted = None,
    owner: OwnerWanted = None,
    unassigned: Annotated[
        bool, typer.Option("--unassigned", help="Those on a pooled address without an owner.")
    ] = False,
    limit: Limit = 100,
    json_wanted: JsonWanted = False,
) -> None:
    """List deposits, newest first, whatever became of them."""
    if unassigned and owner is not None:
        raise misused("what is unassigned has no owner")
    rows = session.run(_list(tenant, owner, limit, unassigned=unassigned))
    if json_wanted:
        rows = [without_amount(row) for row in rows]
    else:  # what comes to a wallet is the tenant's, and what has no owner yet is nobody's
        rows = [{**row, "owner": row["owner"] or f"({row['purpose']})"} for row in rows]
    columns = with_tenant(UNASSIGNED_COLUMNS if unassigned else COLUMNS, tenant)
    print_rows(rows, json_wanted=json_wanted, empty="No deposits.", columns=columns)


@app.command("waiting")
def waiting(
    *,
    network: Annotated[
        str | None, typer.Option("--network", help="Of this network only: its CAIP-2 id or kind.")
    ] = None,
    limit: Limit = 100,
    json_wanted: JsonWanted = False,
) -> None:
    """List all tenants' deposits that are not confirmed yet, first those due for longest."""
    rows = session.run(_waiting(network, limit))
    if json_wanted:
        rows = [without_amount(row) for row in rows]
    print_rows(rows, json_wanted=json_wanted, empty="No deposit waits.", columns=WAITING_COLUMNS)


@app.command("assign")
def assign(
    deposit_id: Annotated[
        int,
        typer.Argument(
            metavar="ID", max=ID_MAX, help="As in `millrace deposit list --unassigned`."
        ),
    ],
    *,
    tenant: Tenant,
    owner: Owner,
    actor: Actor = "",
    json_wanted: JsonWanted = False,
) -> None:
    """Say whose a deposit is that came without a known memo, and credit it. Cannot be undone."""
    by = operator_of(actor)
    row = session.run_again(lambda: _assign(tenant, deposit_id, owner, by))
    print_fields(row, json_wanted=json_wanted)


def _amount(deposit: Deposit, decimals: dict[str, int]) -> Any:  # noqa: ANN401 - a table's cell
    if deposit.asset is None:
        return f"{deposit.amount_minor} minor"
    return whole(int(deposit.amount_minor), decimals[deposit.asset])


async def _assign(tenant: str, deposit_id: int, owner: str, actor: str) -> dict[str, Any]:
    from agents.by_operator.assign_deposit import assign_deposit
    from agents.runtime.transact import transact_on

    config = session.settings()
    async with session.database(config) as pool, transact_on(pool, config.topic_prefix) as work:
        await require_tenant(work.conn, tenant)
        given = await assign_deposit(work, tenant, deposit_id, owner, actor)
    return (await show_addresses(config, [as_json(given)], PARTIES))[0]


async def _waiting(network: str | None, limit: int) -> list[dict[str, Any]]:
    from sql import deposits

    config = session.settings()
    wanted = None if network is None else session.network_id(config, network)
    async with session.database(config) as pool, pool.acquire() as conn:
        found = await deposits.list_waiting_deposits(conn, wanted, limit)
        decimals = await decimals_by_asset(conn)
    rows = [
        {**as_json(row), "amount": whole(int(row.amount_minor), decimals[row.asset])}
        for row in found
    ]
    return await show_addresses(config, rows, PARTIES[:1])


async def _list(
    tenant: str | None, owner: str | None, limit: int, *, unassigned: bool
) -> list[dict[str, Any]]:
    from sql import deposits

    config = session.settings()
    async with session.database(config) as pool, pool.acquire() as conn:
        if tenant is not None:
            await require_tenant(conn, tenant)
        rows = await deposits.list_deposits(conn, tenant, owner, limit, unassigned=unassigned)
        decimals = await decimals_by_asset(conn)
    return await show_addresses(
        config, [{**as_json(row), "amount": _amount(row, decimals)} for row in rows], PARTIES
    )
