"""`millrace balance` and `millrace statement`: what users of a tenant have, and how it came."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from cli import session
from cli.asset import decimals_by_asset
from cli.errors import misused, not_found
from cli.options import ID_MAX, AssetNamed, JsonWanted, Limit, OwnerWanted, Tenant
from cli.output import as_json, print_rows, whole
from cli.tenant import require_tenant
from ledger.chart import BUCKETS
from ledger.entries import AccountRef

AMOUNTS = ("available", "locked", "pending", "total", "receivable")
COLUMNS = ("owner", "asset", *(f"{amount}_amount" for amount in AMOUNTS), "frozen_reason")
LINE_COLUMNS = (
    "entry_id", "created_at", "kind", "side", "amount", "balance_after_amount", "reference_type",
    "reference_id",
)  # fmt: skip


def balance(
    tenant: Tenant, owner: OwnerWanted = None, limit: Limit = 1000, json_wanted: JsonWanted = False
) -> None:
    """Show balances by user and asset. total = available + locked + pending."""
    rows = session.run(_balances(tenant, owner, limit, in_whole=not json_wanted))
    columns = [name for name in COLUMNS if any(row.get(name) for row in rows)]
    print_rows(rows, json_wanted=json_wanted, empty="Nothing was posted yet.", columns=columns)


def statement(
    *,
    tenant: Tenant,
    asset: AssetNamed,
    owner: Annotated[
        str, typer.Option("--owner", help="The user; without it an account of the tenant itself.")
    ] = "",
    bucket: Annotated[
        str, typer.Option("--bucket", help="Which of the accounts: docs/ledger.md lists them.")
    ] = "available",
    before_id: Annotated[
        int, typer.Option("--before", max=ID_MAX, help="Entries before this one.")
    ] = ID_MAX,
    limit: Limit = 100,
    json_wanted: JsonWanted = False,
) -> None:
    """Show the postings of one account with the balance after each, newest first."""
    if bucket not in BUCKETS:
        raise misused(f"{bucket!r} is no bucket; there is {', '.join(BUCKETS)}")
    if BUCKETS[bucket].of_user != bool(owner):
        raise misused(
            f"{bucket!r} is the tenant's own: leave --owner out"
            if owner
            else f"every user has a {bucket!r}: say --owner"
        )
    rows = session.run(_statement(AccountRef(tenant, owner, asset, bucket), before_id, limit))
    if json_wanted:
        rows = [
            {name: value for name, value in row.items() if not name.endswith("amount")}
            for row in rows
        ]
    print_rows(rows, json_wanted=json_wanted, empty="Nothing was posted.", columns=LINE_COLUMNS)


async def _statement(account: AccountRef, before_id: int, limit: int) -> list[dict[str, Any]]:
    from sql import ledger

    async with session.database(session.settings()) as pool, pool.acquire() as conn:
        await require_tenant(conn, account.tenant)
        decimals = (await decimals_by_asset(conn)).get(account.asset)
        if decimals is None:
            raise not_found(
                f"there is no asset {account.asset!r}", "`millrace asset list` shows them."
            )
        lines = await ledger.fetch_statement(
            conn,
            account.tenant,
            account.owner,
            account.asset,
            account.bucket,
            below_entry_id=before_id,
            limit_rows=limit,
        )
    return [
        as_json(line)
        | {
            "amount": whole(line.amount_minor, decimals),
            "balance_after_amount": whole(line.balance_after_minor, decimals),
        }
        for line in lines
    ]


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
