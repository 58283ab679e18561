"""`millrace faucet`: money for nothing, on a development chain."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated

import typer

from cli import session
from cli.errors import Problem, misused
from cli.options import JsonWanted, NetworkWanted
from cli.output import minor, print_fields

if TYPE_CHECKING:
    from settings.model import Asset, Network, Settings


def faucet(
    address: Annotated[str, typer.Argument(metavar="ADDRESS", help="Who gets them.")],
    amount: Annotated[str, typer.Argument(metavar="AMOUNT", help="In whole units, e.g. 2.5.")],
    *,
    network: NetworkWanted = None,
    asset: Annotated[
        str | None, typer.Option("--asset", help="A test token instead of the chain's coin.")
    ] = None,
    memo: Annotated[
        str | None, typer.Option("--memo", help="For a pooled address: whose the payment is.")
    ] = None,
    blocks: Annotated[
        int | None,
        typer.Option("--blocks", min=0, help="Mine so many; enough to confirm, if not given."),
    ] = None,
    json_wanted: JsonWanted = False,
) -> None:
    """Pay coins of a development chain to an address, and mine what confirms the payment."""
    config = session.settings()
    chosen = session.pick_network(config, network)
    unit = pick_asset(config, chosen, asset or chosen.native_asset)
    amount_minor = minor_of(unit, amount)
    mined = chosen.confirmations if blocks is None else blocks
    transaction_id = session.run(_pay(chosen, unit, (address, memo), amount_minor, mined))
    print_fields({"transaction_id": transaction_id, "blocks": mined}, json_wanted=json_wanted)


def pick_asset(config: Settings, network: Network, name: str) -> Asset:
    """Return an asset of the network. Problem if it has none of that name."""
    found = {asset.asset: asset for asset in config.assets if asset.network == network.network}
    if name not in found:
        there = ", ".join(found) or "none"
        raise misused(f"{name} is not among the configured assets of {network.network}: {there}")
    return found[name]


def minor_of(asset: Asset, amount: str) -> int:
    """Return an amount in minor units. Problem if it is none above 0."""
    try:
        amount_minor = minor(amount, asset.decimals)
    except ValueError as error:
        raise misused(str(error)) from error
    if amount_minor <= 0:
        raise misused(f"{amount} is not more than nothing")
    return amount_minor


async def _pay(
    network: Network, asset: Asset, given: tuple[str, str | None], amount_minor: int, blocks: int
) -> str:
    import aiohttp

    from chain_adapters.http import name_fault
    from cli.dev_env import data_dir
    from devstack.chains.chain import NodeError
    from devstack.chains.registry import NODES

    if network.kind not in NODES:
        raise Problem(f"{network.network} has no development node that gives coins away")
    async with session.chain(network) as adapter:
        to = adapter.parse_destination(*given)
        contract = asset.contract and adapter.parse_contract(asset.contract)
    folder = data_dir(os.environ) / network.kind
    try:
        async with NODES[network.kind].attach(network.rpc_urls[0], folder) as chain:
            if contract is None:
                transaction_id = await chain.pay(to.address, amount_minor, to.memo)
            else:
                transaction_id = await chain.pay_token(contract, to.address, amount_minor, to.memo)
            if blocks:
                await chain.mine(blocks)
            return transaction_id
    except NodeError as error:
        raise Problem(
            f"{network.network} gave nothing away: {error}",
            remedy="Only development chains do. On a real one pay from a wallet of your own.",
        ) from error
    except (aiohttp.ClientError, OSError) as error:
        raise Problem(
            f"the node of {network.network} does not answer: {name_fault(error)}",
            remedy="Does `millrace up` still run? `millrace doctor` asks each endpoint.",
        ) from error
