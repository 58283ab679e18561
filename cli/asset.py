"""`millrace asset`: what is credited and paid out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from cli import session
from cli.errors import misused
from cli.options import JsonWanted
from cli.output import as_json, print_rows

if TYPE_CHECKING:
    from sql.catalogue import AssetRow
    from sql.pool import Connection

app = typer.Typer(no_args_is_help=True, help="What is credited and paid out.")
COLUMNS = ("asset", "network", "contract", "decimals", "confirmations")


@app.command("list")
def list_(json_wanted: JsonWanted = False) -> None:
    """List all assets. They come from the configuration, by `millrace init`."""
    rows = [as_json(row) for row in session.run(_list())]
    empty = "No assets yet: configure them and run `millrace init`."
    print_rows(rows, json_wanted=json_wanted, empty=empty, columns=COLUMNS)


async def decimals_by_asset(conn: Connection) -> dict[str, int]:
    """Return how many decimals each asset has."""
    from sql import catalogue

    return {row.asset: row.decimals for row in await catalogue.list_assets(conn)}


async def require_asset(conn: Connection, asset: str) -> AssetRow:
    """Return the asset. Problem if there is none of that name."""
    from sql import catalogue

    for row in await catalogue.list_assets(conn):
        if row.asset == asset:
            return row
    raise misused(f"there is no asset {asset!r}", "`millrace asset list` shows them all.")


async def _list() -> list[AssetRow]:
    from sql import catalogue

    async with session.database(session.settings()) as pool, pool.acquire() as conn:
        return await catalogue.list_assets(conn)
