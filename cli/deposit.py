"""`millrace deposit`: what came in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from cli import session
from cli.asset import decimals_by_asset
from cli.options import JsonWanted, Limit, OwnerWanted, Tenant
from cli.output import as_json, print_rows, whole
from cli.tenant import require_tenant

if TYPE_CHECKING:
    from sql.deposits import Deposit

app = typer.Typer(no_args_is_help=True, help="What came in.")
COLUMNS = (
    "deposit_id", "owner", "amount", "asset", "status", "ignored_reason", "height",
    "confirm_height", "transaction_id", "transfer_index",
)  # fmt: skip


@app.command("list")
def list_(
    tenant: Tenant, owner: OwnerWanted = None, limit: Limit = 100, json_wanted: JsonWanted = False
) -> None:
    """List a tenant's deposits, newest first, whatever became of them."""
    deposits, decimals = session.run(_list(tenant, owner, limit))
    rows = [{**as_json(row), "amount": _amount(row, decimals)} for row in deposits]
    if json_wanted:
        rows = [{k: v for k, v in row.items() if k != "amount"} for row in rows]
    print_rows(rows, json_wanted=json_wanted, empty="No deposits.", columns=COLUMNS)


def _amount(deposit: Deposit, decimals: dict[str, int]) -> Any:  # noqa: ANN401 - a table's cell
    if deposit.asset is None:
        return f"{deposit.amount_minor} minor"
    return whole(int(deposit.amount_minor), decimals[deposit.asset])


async def _list(tenant: str, owner: str | None, limit: int) -> tuple[list[Deposit], dict[str, int]]:
    from sql import deposits

    async with session.database(session.settings()) as pool, pool.acquire() as conn:
        await require_tenant(conn, tenant)
        rows = await deposits.list_deposits(conn, tenant, owner, limit)
        return rows, await decimals_by_asset(conn)
