"""The networks and assets that are known, as configured."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from settings.model import Asset, Network
from sql.pool import Connection
from sql.queries import load_queries

_queries = load_queries("catalogue")


class NetworkRow(NamedTuple):
    """A network and how far it is followed; the heights are None if it never was."""

    network: str
    kind: str
    native_asset: str
    confirmations: int
    finality: str
    height: int | None
    matched_height: int | None
    node_height: int | None
    halted_reason: str | None
    updated_at: datetime | None
    safe_height: int | None
    finalized_height: int | None


class AssetRow(NamedTuple):
    """An asset and its rules, in minor units."""

    asset: str
    network: str
    contract: str | None
    decimals: int
    confirmations: int
    deposit_minor_min: int
    withdrawal_minor_min: int
    withdrawal_minor_max: int | None
    withdrawal_approval_minor: int | None
    withdrawal_fee_minor: int
    withdrawal_minor_max_day: int | None
    withdrawal_count_max_hour: int | None
    confirmations_by_amount: list[dict[str, Any]]


class OpenWork(NamedTuple):
    """How much is under way on a network."""

    network: str
    withdrawals: int
    deposits: int


async def upsert_networks(conn: Connection, networks: Sequence[Network]) -> list[str]:
    """Bring the networks to what is configured; return those that were not so yet."""
    rows = await _queries.upsert_networks(
        conn,
        networks=[n.network for n in networks],
        kinds=[n.kind for n in networks],
        native_assets=[n.native_asset for n in networks],
        confirmations=[n.confirmations for n in networks],
        finalities=[n.finality for n in networks],
    )
    return sorted(row["network"] for row in rows)


async def upsert_assets(
    conn: Connection, assets: Sequence[Asset], contracts: Sequence[str | None]
) -> list[str]:
    """Bring the assets to what is configured; return those that were not so yet.

    `contracts` are the canonical forms, in the order of `assets`. Network, contract and decimals of
    an asset that is there stay as they are: amounts were counted in them. asyncpg's
    ForeignKeyViolationError if a network is unknown, UniqueViolationError if another asset has the
    contract.
    """
    rows = await _queries.upsert_assets(
        conn,
        assets=[a.asset for a in assets],
        networks=[a.network for a in assets],
        contracts=list(contracts),
        decimals=[a.decimals for a in assets],
        deposit_minor_mins=[str(a.deposit_minor_min) for a in assets],
        confirmations_by_amounts=[json.dumps(steps_of(a)) for a in assets],
        withdrawal_minor_mins=[str(a.withdrawal_minor_min) for a in assets],
        withdrawal_minor_maxs=[_text(a.withdrawal_minor_max) for a in assets],
        withdrawal_minor_max_days=[_text(a.withdrawal_minor_max_day) for a in assets],
        withdrawal_count_max_hours=[a.withdrawal_count_max_hour for a in assets],
        withdrawal_approval_minors=[_text(a.withdrawal_approval_minor) for a in assets],
        withdrawal_fee_minors=[str(a.withdrawal_fee_minor) for a in assets],
    )
    return sorted(row["asset"] for row in rows)


def steps_of(asset: Asset) -> list[dict[str, Any]]:
    """Return an asset's confirmations by amount as they are kept. Pure."""
    return [
        {"from_minor": str(step.from_minor), "confirmations": step.confirmations}
        for step in asset.confirmations_by_amount
    ]


def _text(amount_minor: int | None) -> str | None:
    return None if amount_minor is None else str(amount_minor)


async def list_networks(conn: Connection) -> list[NetworkRow]:
    """Return every network and how far it is followed."""
    return [NetworkRow(*row) for row in await _queries.list_networks(conn)]


async def list_assets(conn: Connection) -> list[AssetRow]:
    """Return every asset, by network, the native one first."""
    return [
        AssetRow(
            row["asset"],
            row["network"],
            row["contract"],
            row["decimals"],
            row["confirmations"],
            int(row["deposit_minor_min"]),
            int(row["withdrawal_minor_min"]),
            _int(row["withdrawal_minor_max"]),
            _int(row["withdrawal_approval_minor"]),
            int(row["withdrawal_fee_minor"]),
            _int(row["withdrawal_minor_max_day"]),
            row["withdrawal_count_max_hour"],
            json.loads(row["confirmations_by_amount"]),
        )
        for row in await _queries.list_assets(conn)
    ]


async def open_work(conn: Connection) -> list[OpenWork]:
    """Return what is under way on every network that is known."""
    return [OpenWork(*row) for row in await _queries.open_work(conn)]


def _int(text: str | None) -> int | None:
    return None if text is None else int(text)
