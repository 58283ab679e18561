"""`millrace balance`: what the users of a tenant have."""

from __future__ import annotations

from typing import Any

from cli import session
from cli.asset import decimals_by_asset
from cli.options import JsonWanted, Limit, OwnerWanted, Tenant
from cli.output import as_json, print_rows, whole
from cli.tenant import require_tenant

AMOUNTS = ("available", "locked", "pending", "total", "receivable")
COLUMNS = ("owner", "asset", *(f"{amount}_amount" for amount in AMOUNTS), "frozen_reason")


def balance(
    tenant: Tenant, owner: OwnerWanted = None, limit: Limit = 1000, json_wanted: JsonWanted = False
) -> None:
    """Show balances by user and asset. total = available + locked + pending."""
    rows = session.run(_balances(tenant, owner, limit, in_whole=not json_wanted))
    columns = [name for name in COLUMNS if any(row.get(name) for row in rows)]
    print_rows(rows, json_wanted=json_wanted, empty="Nothing was posted yet.", columns=columns)


async def _balances(
    tenant: str, owner: str | None, limit: int, *, in_whole: bool
) -> list[dict[str, Any]]:
    from sql import tenants

    async with session.database(session.settings()) as pool, pool.acquire() as conn:
        await require_tenant(conn, tenant)
        decimals = await decimals_by_asset(conn)
        rows = await tenants.list_balances(conn, tenant, owner, limit)
    if not in_whole:
        return [as_json(row) for row in rows]
    return [
        {
            **row._asdict(),
            **{
                f"{amount}_amount": whole(getattr(row, f"{amount}_minor"), decimals[row.asset])
                for amount in AMOUNTS
            },
        }
        for row in rows
    ]
