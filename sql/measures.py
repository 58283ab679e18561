"""Figures of the shared metrics, read every few seconds: all cheap, whatever the tables' size."""

from __future__ import annotations

from typing import NamedTuple

from sql.pool import Connection
from sql.queries import load_queries
from sql.withdrawals import WaitReason

_queries = load_queries("measures")


class NetworkMeasure(NamedTuple):
    """How far a network is followed, heights being None where it never was; what stands still."""

    network: str
    node_height: int | None
    height: int | None
    matched_height: int | None
    halted: bool
    wallets_halted: int
    oldest_due_s: float
    """Since the deposit was found that has its confirmations for longest and is not confirmed."""


class WithdrawalMeasure(NamedTuple):
    """Open withdrawals of one network in one status that wait for the same."""

    network: str
    status: str
    waits_for: WaitReason | None
    """Of approved ones; None: the signer has not looked at them yet."""
    withdrawals: int
    oldest_s: float
    """Since the oldest took its status."""


class HotWalletMeasure(NamedTuple):
    """One hot wallet in one asset: what it holds by the ledger, and what is to be paid from it."""

    tenant: str
    network: str
    asset: str
    address: str
    balance_minor: int
    open_minor: int


class AssetMeasure(NamedTuple):
    """An asset, its network and how many digits of its minor unit make a whole one."""

    asset: str
    network: str
    decimals: int


class ReconciliationMeasure(NamedTuple):
    """Differences of one scope and asset in the newest settled run of a network.

    A run that found none is one row without scope and asset. Without a network it is of the books.
    """

    network: str | None
    finished_at_s: float
    """Unix time."""
    scope: str | None
    asset: str | None
    differences: int


async def measure_networks(conn: Connection) -> list[NetworkMeasure]:
    """Return how far each network is followed."""
    return [NetworkMeasure(*row) for row in await _queries.measure_networks(conn)]


async def measure_withdrawals(conn: Connection) -> list[WithdrawalMeasure]:
    """Return the open withdrawals by network, status and reason to wait, where there are any."""
    return [WithdrawalMeasure(*row) for row in await _queries.measure_withdrawals(conn)]


async def measure_hot_wallets(conn: Connection) -> list[HotWalletMeasure]:
    """Return every hot wallet in every asset of its network."""
    rows = await _queries.measure_hot_wallets(conn)
    return [HotWalletMeasure._make((*row[:4], int(row[4]), int(row[5]))) for row in rows]


async def measure_assets(conn: Connection) -> list[AssetMeasure]:
    """Return every asset."""
    return [AssetMeasure(*row) for row in await _queries.measure_assets(conn)]


async def count_frozen(conn: Connection) -> int:
    """Return how many accounts are frozen and owe for money that was spent."""
    return int(await _queries.count_frozen(conn))


async def measure_reconciliations(conn: Connection) -> list[ReconciliationMeasure]:
    """Return what the newest settled runs found."""
    rows = await _queries.measure_reconciliations(conn)
    return [ReconciliationMeasure(*row) for row in rows]
