"""`millrace address`: where users pay in."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import session
from cli.errors import Problem
from cli.options import JsonWanted, NetworkWanted, Owner, Tenant
from cli.output import print_json, say

if TYPE_CHECKING:
    from chain_adapters.adapter import ChainPayer
    from custody.addresses import NewAddress
    from sql.pool import Pool

app = typer.Typer(no_args_is_help=True, help="Where users pay in.")
POLL_S = 0.25


@app.command("new")
def new(
    *,
    tenant: Tenant,
    owner: Owner,
    network: NetworkWanted = None,
    count: Annotated[int, typer.Option("--count", min=1, max=1000, help="How many.")] = 1,
    label: Annotated[str | None, typer.Option("--label", help="A note kept with it.")] = None,
    wait_s: Annotated[
        float, typer.Option("--wait-s", min=0, help="Wait so long for the signer to make keys.")
    ] = 10.0,
    json_wanted: JsonWanted = False,
) -> None:
    """Give a user a new deposit address, and print it. Old ones stay good for ever."""
    rows = session.run(_new(tenant, [owner] * count, network, label, wait_s))
    if json_wanted:
        print_json(rows)
    else:
        for row in rows:
            typer.echo(row["address"])


async def _new(
    tenant: str, owners: list[str], wanted: str | None, label: str | None, wait_s: float
) -> list[dict[str, Any]]:
    config = session.settings()
    network = session.pick_network(config, wanted)
    async with session.chain(network) as adapter, session.database(config) as pool:
        made = await _assign(pool, adapter, network.network, tenant, owners, label, wait_s)
        return [
            {
                "network": network.network,
                "tenant": tenant,
                "owner": new.owner,
                "address": adapter.show_address(new.address),
                "key_path": new.key_path,
            }
            for new in made
        ]


async def _assign(  # noqa: PLR0917 - a thin shell round assign_addresses
    pool: Pool,
    payer: ChainPayer,
    network: str,
    tenant: str,
    owners: list[str],
    label: str | None,
    wait_s: float,
) -> list[NewAddress]:
    """Assign, waiting for the signer to fill the pool of keys if it is empty."""
    from custody.addresses import NoFreeKeys, assign_addresses

    deadline = asyncio.get_running_loop().time() + wait_s
    told = False
    while True:
        try:
            async with pool.acquire() as conn, conn.transaction():
                return await assign_addresses(conn, payer, network, tenant, owners, label=label)
        except NoFreeKeys as error:
            if asyncio.get_running_loop().time() >= deadline:
                raise Problem(
                    str(error),
                    meaning="Keys are made ahead of need by the signer alone.",
                    remedy="Run a worker of the role signer (`millrace worker --role signer`).",
                ) from error
            if not told:
                say("waiting for the signer to make keys …")
            told = True
            await asyncio.sleep(POLL_S)
