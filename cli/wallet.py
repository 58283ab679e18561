"""`millrace wallet`: the hot wallets, letting a halted one sign again, and opting in to tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import session
from cli.errors import Problem, misused, not_found
from cli.options import JsonWanted, NetworkNamed, TenantWanted
from cli.output import as_json, print_fields, print_rows
from cli.shown import show_addresses
from cli.tenant import require_tenant
from cli.work import require_secrets

if TYPE_CHECKING:
    from settings.model import Settings

app = typer.Typer(no_args_is_help=True, help="Hot wallets, which pay withdrawals.")
COLUMNS = (
    "network", "tenant", "address", "next_nonce", "chain_nonce", "approved", "sent",
    "nonce_used", "not_ours", "halted_reason",
)  # fmt: skip

TRUST_COLUMNS = ("purpose", "address", "state", "transaction_id")

TenantName = Annotated[str, typer.Argument(metavar="TENANT", help="The tenant's name.")]


@app.command("status")
def status(
    tenant: TenantWanted = None,
    json_wanted: JsonWanted = False,
) -> None:
    """Show each hot wallet: its next nonce, what waits in it, and why it is halted."""
    rows = session.run(_list(tenant))
    empty = "No hot wallets yet: `millrace address hot` makes one."
    print_rows(rows, json_wanted=json_wanted, empty=empty, columns=COLUMNS)


@app.command("resume")
def resume(network: NetworkNamed, tenant: TenantName, json_wanted: JsonWanted = False) -> None:
    """Let a halted wallet sign again, once every transaction that is not ours is accounted for.

    Signing goes on at the nonce that the chain expected when the wallet was halted, and what it
    had paid for by then, seen in blocks, counts as accounted for. Of what came since the wallet
    halts again at once.
    """
    print_fields(session.run(_resume(network, tenant)), json_wanted=json_wanted)


@app.command("trust")
def trust(
    network: NetworkNamed,
    tenant: TenantName,
    asset: Annotated[
        str, typer.Argument(metavar="ASSET", help="The token, as in `millrace asset list`.")
    ],
    json_wanted: JsonWanted = False,
) -> None:
    """Let a tenant's hot wallet and pooled address receive a token, where the chain asks for that.

    Needs MILLRACE_WALLET_ENC_KEY. Repeatable: what is ready already is left alone.
    """
    config = session.settings()
    require_secrets(config, "signer")
    rows = session.run(_trust(config, network, tenant, asset))
    print_rows(rows, json_wanted=json_wanted, empty="No wallets yet.", columns=TRUST_COLUMNS)


async def _trust(
    config: Settings, network: str, tenant: str, asset: str
) -> list[dict[str, str | None]]:
    from agents.runtime.context import wallet_passphrase
    from chain_adapters.types import PaymentRefused
    from custody.keystore import open_signer
    from custody.prepare import prepare_wallet
    from sql.custody import list_system_wallets

    chosen = session.pick_network(config, network)
    contracts = [
        a.contract for a in config.assets if (a.asset, a.network) == (asset, chosen.network)
    ]
    if not contracts or contracts[0] is None:
        raise misused(
            f"there is no token {asset!r} on {chosen.network}",
            "`millrace asset list` shows them all.",
        )
    rows: list[dict[str, str | None]] = []
    async with session.database(config) as pool, session.chain(chosen) as adapter:
        async with pool.acquire() as conn:
            await require_tenant(conn, tenant)
            wallets = await list_system_wallets(conn, tenant, chosen.network)
            signer = await open_signer(conn, wallet_passphrase(config), {adapter.key_scheme})
        for wallet in wallets:
            shown = adapter.show_address(wallet.address)
            contract = adapter.parse_contract(contracts[0])
            try:
                made = await prepare_wallet(pool, adapter, signer, wallet, contract)
            except PaymentRefused as refusal:
                raise Problem(
                    f"the {wallet.purpose} wallet {shown} cannot be made ready: {refusal}",
                    remedy=f"It must exist on the chain and hold {chosen.native_asset} for that."
                    " Pay some to it, then run this again: what is ready is left alone.",
                ) from refusal
            rows.append(
                {
                    "purpose": wallet.purpose,
                    "address": shown,
                    "state": made.state,
                    "transaction_id": made.transaction_id,
                }
            )
    return rows


async def _list(tenant: str | None) -> list[dict[str, Any]]:
    from sql.wallets import list_wallets

    config = session.settings()
    async with session.database(config) as pool, pool.acquire() as conn:
        if tenant is not None:
            await require_tenant(conn, tenant)
        rows = await list_wallets(conn, tenant, None)
    return await show_addresses(config, [as_json(row) for row in rows])


async def _resume(wanted: str, tenant: str) -> dict[str, Any]:
    from sql.wallets import list_wallets, resume_wallet

    config = session.settings()
    network = session.network_id(config, wanted)
    async with session.database(config) as pool, pool.acquire() as conn:
        found = await list_wallets(conn, tenant, network)
        if not found:
            raise not_found(
                f"tenant {tenant!r} has no hot wallet on {network}",
                "`millrace wallet status` shows them all.",
            )
        if found[0].nonce_used and found[0].halted_reason is not None:
            raise Problem(
                f"the nonces of {', '.join(found[0].nonce_used)} were used by somebody else",
                meaning="Resumed now, the wallet would be halted again at the next answer of a"
                " node.",
                remedy="`millrace withdraw cancel` gives their money back; then resume. Where money"
                ' is coins, they end by themselves as soon as that is final: docs/operations.md, "A'
                ' coin taken from a payment".',
            )
        if not await resume_wallet(conn, network, tenant):
            raise Problem(f"the wallet of {tenant!r} on {network} is not halted")
        resumed = (await list_wallets(conn, tenant, network))[0]
    return (await show_addresses(config, [as_json(resumed)]))[0]
