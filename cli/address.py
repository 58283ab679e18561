"""`millrace address`: where users pay in."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from cli import session
from cli.errors import Problem, misused
from cli.options import JsonWanted, Limit, NetworkWanted, Owner, OwnerWanted, Tenant, check_note
from cli.output import as_json, print_json, print_rows, say
from cli.shown import show_addresses
from cli.tenant import require_tenant

if TYPE_CHECKING:
    from custody.addresses import NewAddress, NewMemo, WithheldAddress
    from sql.custody import HotWallet
    from sql.pool import Connection, Pool

app = typer.Typer(no_args_is_help=True, help="Where users pay in, and the wallets.")
POLL_S = 0.25
PURPOSES = ("deposit", "pooled", "hot", "cold", "gas")
COLUMNS = ("address", "memo", "network", "owner", "purpose", "label", "created_at")

MadeT = TypeVar("MadeT")
WaitS = Annotated[
    float, typer.Option("--wait-s", min=0, help="Wait so long for the signer to make keys.")
]


@app.command("new")
def new(
    *,
    tenant: Tenant,
    owner: Owner,
    network: NetworkWanted = None,
    count: Annotated[int, typer.Option("--count", min=1, max=1000, help="How many.")] = 1,
    label: Annotated[
        str | None, typer.Option("--label", callback=check_note, help="A note kept with it.")
    ] = None,
    memo: Annotated[
        bool, typer.Option("--memo", help="A memo on the tenant's pooled address instead.")
    ] = False,
    wait_s: WaitS = 10.0,
    json_wanted: JsonWanted = False,
) -> None:
    """Give a user a new deposit address, and print it. Old ones stay good for ever.

    With --memo it is the pooled address of the tenant, with a memo that is this user's alone.
    """
    make = _new_memos if memo else _new
    rows = session.run(make(tenant, [owner] * count, network, label, wait_s))
    if json_wanted:
        print_json(rows)
    else:
        for row in rows:
            typer.echo(" ".join([row["address"], row["memo"]] if memo else [row["address"]]))


@app.command("withhold")
def withhold(
    *,
    tenant: Tenant,
    network: NetworkWanted = None,
    count: Annotated[int, typer.Option("--count", min=1, max=1000, help="How many.")],
    wait_s: WaitS = 10.0,
    json_wanted: JsonWanted = False,
) -> None:
    """Give the next addresses, and as many memos, to nobody. For a database restored from a backup.

    What comes to them waits for an owner: see `millrace deposit list --unassigned`.
    """
    rows = session.run(_withhold(tenant, count, network, wait_s))
    if json_wanted:
        print_json(rows)
    else:
        for row in rows:
            typer.echo(row["address"])


@app.command("hot")
def hot(
    *,
    tenant: Tenant,
    network: NetworkWanted = None,
    wait_s: WaitS = 10.0,
    json_wanted: JsonWanted = False,
) -> None:
    """Print the tenant's hot wallet, which pays its withdrawals: fill it. Made if need be."""
    row = session.run(_hot(tenant, network, wait_s))
    if json_wanted:
        print_json(row)
    else:
        typer.echo(row["address"])


@app.command("list")
def list_(
    *,
    tenant: Tenant,
    owner: OwnerWanted = None,
    purpose: Annotated[
        str | None, typer.Option("--purpose", help=f"One of {', '.join(PURPOSES)}.")
    ] = None,
    limit: Limit = 100,
    json_wanted: JsonWanted = False,
) -> None:
    """List a tenant's addresses and the memos on its pooled ones, newest first."""
    if purpose is not None and purpose not in PURPOSES:
        raise misused(f"{purpose!r} is no purpose; there is {', '.join(PURPOSES)}")
    rows = session.run(_list(tenant, owner, purpose, limit))
    print_rows(rows, json_wanted=json_wanted, empty="No addresses.", columns=COLUMNS)


async def _new(
    tenant: str, owners: list[str], wanted: str | None, label: str | None, wait_s: float
) -> list[dict[str, Any]]:
    from custody.addresses import assign_addresses

    config = session.settings()
    network = session.pick_network(config, wanted)
    async with session.chain(network) as adapter, session.database(config) as pool:

        async def assign(conn: Connection) -> list[NewAddress]:
            return await assign_addresses(
                conn, adapter, network.network, tenant, owners, label=label
            )

        return [
            {
                "network": network.network,
                "tenant": tenant,
                "owner": new.owner,
                "address": adapter.show_address(new.address),
                "key_path": new.key_path,
            }
            for new in await with_keys(
                pool, assign, wait_s, wanted=len(owners), ready_max=config.address_pool_min
            )
        ]


async def _new_memos(
    tenant: str, owners: list[str], wanted: str | None, label: str | None, wait_s: float
) -> list[dict[str, Any]]:
    from custody.addresses import assign_memos

    config = session.settings()
    network = session.pick_network(config, wanted)
    async with session.chain(network) as adapter, session.database(config) as pool:

        async def assign(conn: Connection) -> list[NewMemo]:
            return await assign_memos(conn, adapter, network.network, tenant, owners, label=label)

        return [
            {
                "network": network.network,
                "tenant": tenant,
                "owner": new.owner,
                "address": adapter.show_address(new.address),
                "memo": new.memo,
            }
            for new in await with_keys(pool, assign, wait_s)
        ]


async def _withhold(
    tenant: str, count: int, wanted: str | None, wait_s: float
) -> list[dict[str, Any]]:
    from custody.addresses import withhold_addresses

    config = session.settings()
    network = session.pick_network(config, wanted)
    async with session.chain(network) as adapter, session.database(config) as pool:

        async def withhold(conn: Connection) -> list[WithheldAddress]:
            return await withhold_addresses(conn, adapter, network.network, tenant, count)

        return [
            {
                "network": network.network,
                "tenant": tenant,
                "address": adapter.show_address(new.address),
                "key_path": new.key_path,
            }
            for new in await with_keys(
                pool, withhold, wait_s, wanted=count, ready_max=config.address_pool_min
            )
        ]


async def _hot(tenant: str, wanted: str | None, wait_s: float) -> dict[str, Any]:
    from custody.hot_wallet import ensure_hot_wallet

    config = session.settings()
    network = session.pick_network(config, wanted)
    async with session.chain(network) as adapter, session.database(config) as pool:

        async def ensure(conn: Connection) -> HotWallet:
            await require_tenant(conn, tenant)
            return await ensure_hot_wallet(conn, adapter, tenant, network.network)

        wallet = await with_keys(pool, ensure, wait_s)
        return {
            "network": network.network,
            "tenant": tenant,
            "address": adapter.show_address(wallet.address),
            "key_path": wallet.key_path,
        }


async def _list(
    tenant: str, owner: str | None, purpose: str | None, limit: int
) -> list[dict[str, Any]]:
    from sql.tenants import list_addresses

    config = session.settings()
    async with session.database(config) as pool, pool.acquire() as conn:
        await require_tenant(conn, tenant)
        rows = await list_addresses(conn, tenant, owner, purpose, limit)
    return await show_addresses(config, [as_json(row) for row in rows])


async def with_keys(
    pool: Pool,
    make: Callable[[Connection], Awaitable[MadeT]],
    wait_s: float,
    *,
    wanted: int = 1,
    ready_max: int = 1,
) -> MadeT:
    """Run `make` in a transaction, again and again while the signer has not made the keys yet.

    Problem if there are not as many as are wanted, at once if the signer never keeps so many ready.
    """
    from custody.addresses import NoFreeKeys
    from custody.hot_wallet import NoWalletKey

    deadline = asyncio.get_running_loop().time() + wait_s
    told = False
    while True:
        try:
            async with pool.acquire() as conn, conn.transaction():
                return await make(conn)
        except (NoFreeKeys, NoWalletKey) as error:
            if wanted > ready_max:
                raise Problem(
                    str(error),
                    meaning="The signer makes them ahead of need, address_pool_min of them.",
                    remedy=f"Ask for at most {ready_max} at a time, as often as you like.",
                ) from error
            if asyncio.get_running_loop().time() >= deadline:
                raise Problem(
                    str(error),
                    meaning="Keys are made ahead of need, by the signer alone.",
                    remedy="Run a worker of the role signer (`millrace worker --role signer`).",
                ) from error
            if not told:
                say("waiting for the signer to make keys …")
            told = True
            await asyncio.sleep(POLL_S)
