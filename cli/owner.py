"""`millrace owner`: an operator's word on whether a user's money may leave."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import session
from cli.asset import require_asset
from cli.errors import misused, not_found
from cli.operator import operator_of
from cli.options import NOTE_CHARACTERS_MAX, Actor, AssetNamed, Detail, JsonWanted, Owner, Tenant
from cli.output import as_json, print_fields, say, whole
from cli.tenant import require_tenant

if TYPE_CHECKING:
    from sql.pool import Connection

app = typer.Typer(no_args_is_help=True, help="Freezing a user's money.")


@app.command("freeze")
def freeze(
    *,
    tenant: Tenant,
    owner: Owner,
    asset: AssetNamed,
    reason: Annotated[str, typer.Option("--reason", help="Why; the tenant reads it.")],
    actor: Actor = "",
    json_wanted: JsonWanted = False,
) -> None:
    """Let none of a user's money in one asset leave; more may come in.

    New withdrawals are refused, approved ones wait unsigned; what is signed already goes out.
    """
    why, by = check_reason(reason), operator_of(actor)
    row = session.run_again(lambda: _freeze(tenant, owner, asset, why, by))
    print_fields(row, json_wanted=json_wanted)


@app.command("unfreeze")
def unfreeze(
    *,
    tenant: Tenant,
    owner: Owner,
    asset: AssetNamed,
    detail: Detail = "",
    actor: Actor = "",
    json_wanted: JsonWanted = False,
) -> None:
    """Take an operator's freeze back. Who still owes stays frozen for that, and is named."""
    by = operator_of(actor)
    row, owed = session.run_again(lambda: _unfreeze(tenant, owner, asset, detail, by))
    print_fields(row, json_wanted=json_wanted)
    if owed:
        say(f"Still frozen: {owner} owes {owed}. With that paid the freeze ends by itself.")


def check_reason(reason: str) -> str:
    """Return an operator's reason. Problem if it says nothing, or is the ledger's own word."""
    from ledger.chart import REORGANISED_CREDIT

    text = reason.strip()
    if not 0 < len(text) <= NOTE_CHARACTERS_MAX:
        raise misused(f"--reason has {len(text)} characters; it needs 1 to {NOTE_CHARACTERS_MAX}")
    if text == REORGANISED_CREDIT:
        raise misused(f"{text!r} is the ledger's own reason, which ends with the debt")
    return text


async def _freeze(tenant: str, owner: str, asset: str, reason: str, actor: str) -> dict[str, Any]:
    from agents.runtime.transact import transact_on
    from custody.freeze import freeze_owner
    from sql.withdrawals import await_signing

    config = session.settings()
    async with session.database(config) as pool:
        async with transact_on(pool, config.topic_prefix) as work:
            await _require(work.conn, tenant, owner, asset)
            frozen = await freeze_owner(work, tenant, owner, asset, reason=reason, actor=actor)
        async with pool.acquire() as conn:
            await await_signing(conn, tenant, owner, asset)
    return {"owner": owner, "asset": asset, **as_json(frozen)}


async def _unfreeze(
    tenant: str, owner: str, asset: str, detail: str, actor: str
) -> tuple[dict[str, Any], str]:
    """Return how the money stands now, and what its owner still owes, as people write it."""
    from agents.runtime.transact import transact_on
    from custody.freeze import unfreeze_owner

    config = session.settings()
    async with session.database(config) as pool, transact_on(pool, config.topic_prefix) as work:
        decimals = await _require(work.conn, tenant, owner, asset)
        after = await unfreeze_owner(work, tenant, owner, asset, detail=detail, actor=actor)
    owed = "" if after.frozen_at is None else f"{whole(after.receivable_minor, decimals)} {asset}"
    return {"owner": owner, "asset": asset, **as_json(after)}, owed


async def _require(conn: Connection, tenant: str, owner: str, asset: str) -> int:
    """Return the asset's decimals. Problem if one of the three is unknown."""
    from sql.ledger import fetch_balances
    from sql.tenants import is_user

    await require_tenant(conn, tenant)
    decimals = (await require_asset(conn, asset)).decimals
    if not (await is_user(conn, tenant, owner) or await fetch_balances(conn, tenant, owner)):
        raise not_found(
            f"tenant {tenant!r} has no user {owner!r}", "`millrace address list` shows the users."
        )
    return decimals
