"""What is configured, against what the database was told of it by `millrace init`. Pure.

Money was counted, addresses were given and records lie in topics under what was configured then.
What cannot change, or not while something is under way, is refused in words before any harm.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from cli.errors import Problem, misused
from settings.model import Asset, Network, Settings
from sql.catalogue import AssetRow, NetworkRow, OpenWork, steps_of
from topics.catalogue import ALL_TOPICS


def check_sense(config: Settings) -> None:
    """Raise Problem unless every asset has its network, and every network its native asset."""
    networks = {network.network: network for network in config.networks}
    for asset in config.assets:
        if asset.network not in networks:
            names = ", ".join(networks) or "none"
            raise misused(
                f"asset {asset.asset}: network {asset.network} is not configured; there is {names}"
            )
    native = {(asset.network, asset.asset) for asset in config.assets if asset.contract is None}
    for network in config.networks:
        if (network.network, network.native_asset) not in native:
            raise misused(
                f"network {network.network} has the native asset {network.native_asset},"
                " which is no asset of that network without a contract",
                "Its fees could not be booked. Name it in [[assets]]; assets of two networks need"
                " two names.",
            )


def check_kept(
    config: Settings,
    contracts: Sequence[str | None],
    networks: Iterable[NetworkRow],
    assets: Collection[AssetRow],
) -> None:
    """Raise Problem if something is configured otherwise that never changes.

    `contracts` are canonical, in the order of the configured assets.
    """
    known = {row.network: row for row in networks}
    for network in config.networks:
        _check_network(network, known.get(network.network))
    kept = {row.asset: row for row in assets}
    names = {(row.network, row.contract): row.asset for row in assets}
    for asset, contract in zip(config.assets, contracts, strict=True):
        unit = _unit(asset.network, contract, asset.decimals)
        row = kept.get(asset.asset)
        if row is not None and unit != _unit(row.network, row.contract, row.decimals):
            raise misused(
                f"asset {asset.asset} is kept with"
                f" {_unit(row.network, row.contract, row.decimals)} and configured with {unit}",
                "What was counted cannot change its unit: give the new asset a new name. If only"
                " the decimals were wrong: “Wrong decimals” in docs/operations.md.",
            )
        name = names.get((asset.network, contract), asset.asset)
        if name != asset.asset:
            raise misused(
                f"asset {asset.asset} is kept under the name {name}",
                "Balances are kept by name, and a name never changes: configure the old one.",
            )


def check_contracts(config: Settings, contracts: Sequence[str | None]) -> None:
    """Raise Problem if one contract, written in two ways, is two assets.

    `contracts` are canonical, in the order of the configured assets.
    """
    names: dict[tuple[str, str | None], str] = {}
    for asset, contract in zip(config.assets, contracts, strict=True):
        other = names.setdefault((asset.network, contract), asset.asset)
        if other != asset.asset:
            raise misused(
                f"assets {other} and {asset.asset} have the same contract, {contract}",
                "What comes could be credited as one of the two only: take one out.",
            )


def check_coin(asset: Asset, decimals: int) -> None:
    """Raise Problem unless a native asset has the decimals of its chain's coin."""
    if asset.decimals != decimals:
        raise misused(
            f"asset {asset.asset} is configured with {asset.decimals} decimals, and the coin of"
            f" {asset.network} has {decimals}",
            "Amounts would be shown and taken wrong. If it is kept so already, see “Wrong decimals”"
            " in docs/operations.md.",
        )


def _check_network(network: Network, row: NetworkRow | None) -> None:
    if row is None:
        return
    for name, was, wanted in (
        ("kind", row.kind, network.kind),
        ("native_asset", row.native_asset, network.native_asset),
    ):
        if was != wanted:
            raise misused(
                f"network {row.network} is kept with {name} {was} and configured with {wanted}",
                "Addresses were given and fees were booked under it: put it back.",
            )


def _unit(network: str, contract: str | None, decimals: int) -> str:
    return f"network {network}, contract {contract or 'none'}, {decimals} decimals"


def check_nothing_left_out(
    config: Settings, assets: Iterable[AssetRow], open_work: Iterable[OpenWork]
) -> None:
    """Raise Problem if something is no longer configured that must be looked after.

    That is an asset of a configured network, and a network with anything under way.
    """
    followed = {network.network for network in config.networks}
    configured = {asset.asset for asset in config.assets}
    for asset in assets:
        if asset.network in followed and asset.asset not in configured:
            raise misused(
                f"asset {asset.asset} of {asset.network} is kept and no longer configured",
                "Put it back. To stop paying it out, set its withdrawal_minor_max to 0; to stop"
                " crediting it, its deposit_minor_min above all there is.",
            )
    for work in open_work:
        if work.network not in followed and (work.withdrawals or work.deposits):
            raise misused(
                f"network {work.network} is no longer configured, and {work.withdrawals}"
                f" withdrawals and {work.deposits} deposits are under way on it",
                "Put it back until they are at their end; see “Changing the configuration” in"
                " docs/operations.md.",
            )


def check_taken_up(
    config: Settings, networks: Iterable[NetworkRow], assets: Iterable[AssetRow]
) -> None:
    """Raise Problem unless all rules are in force as configured. Contracts are not compared."""
    in_force = {row.network: _rules_kept(row) for row in networks}
    wanted = {network.network: _rules_of(network) for network in config.networks}
    in_force |= {row.asset: _terms_kept(row) for row in assets}
    wanted |= {asset.asset: _terms_of(asset) for asset in config.assets}
    changed = sorted(name for name in wanted if wanted[name] != in_force.get(name))
    if changed:
        raise Problem(
            f"changed since `millrace init` and not in force: {', '.join(changed)}",
            meaning="The database goes by the old rules, be they limits or confirmations.",
            remedy="Run `millrace init`, then start all roles again.",
        )


def _rules_of(network: Network) -> tuple[object, ...]:
    return network.kind, network.native_asset, network.confirmations, network.finality


def _rules_kept(row: NetworkRow) -> tuple[object, ...]:
    return row.kind, row.native_asset, row.confirmations, row.finality


def _terms_of(asset: Asset) -> tuple[object, ...]:
    return (
        asset.network,
        asset.decimals,
        asset.contract is None,
        asset.deposit_minor_min,
        steps_of(asset),
        asset.withdrawal_minor_min,
        asset.withdrawal_minor_max,
        asset.withdrawal_minor_max_day,
        asset.withdrawal_count_max_hour,
        asset.withdrawal_approval_minor,
        asset.withdrawal_fee_minor,
    )


def _terms_kept(row: AssetRow) -> tuple[object, ...]:
    return (
        row.network,
        row.decimals,
        row.contract is None,
        row.deposit_minor_min,
        row.confirmations_by_amount,
        row.withdrawal_minor_min,
        row.withdrawal_minor_max,
        row.withdrawal_minor_max_day,
        row.withdrawal_count_max_hour,
        row.withdrawal_approval_minor,
        row.withdrawal_fee_minor,
    )


def check_topics(config: Settings, used: Iterable[str]) -> None:
    """Raise Problem if records were read or wait under another topic_prefix."""
    ours = {config.topic_prefix + topic.name for topic in ALL_TOPICS}
    if others := sorted(set(used) - ours):
        raise misused(
            f"topic_prefix is {config.topic_prefix!r}, and the stages work with {others[0]}",
            "What lies in those topics would never be done. Put the prefix back; to change it, see"
            " “Another topic_prefix” in docs/operations.md.",
        )


def check_cluster(cluster_id: str, used: Collection[str]) -> None:
    """Raise Problem if all that the stages have done is of another Kafka cluster."""
    if used and cluster_id not in used:
        raise misused(
            f"this is the Kafka cluster {cluster_id}, and the stages worked with"
            f" {', '.join(sorted(used))}",
            "Is kafka_bootstrap the right broker? If the cluster was replaced, see “Another Kafka"
            " cluster” in docs/operations.md.",
        )
