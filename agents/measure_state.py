"""Reads from the database what the shared metrics show.

The worker that holds this loop's lease shows them (see metrics.server). Every series is set each
time, to 0 where there is nothing, so that none goes on showing what was true once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from agents.runtime.context import Context
from agents.runtime.loop import Loop
from agents.runtime.transact import transact
from metrics import catalogue
from metrics.units import whole_units
from settings.model import Settings
from sql import custody, measures, notifications, stream
from sql.measures import (
    AssetMeasure,
    HotWalletMeasure,
    NetworkMeasure,
    ReconciliationMeasure,
    WithdrawalMeasure,
)
from sql.pool import Connection
from sql.withdrawals import OPEN, WAIT_REASONS, WaitReason
from topics import event_data, events
from topics.events import emit_events


class MeasureState(Loop):
    """Measures every two seconds, and tells tenants whose hot wallet has become short."""

    name = "measure_state"
    every_s = 2.0

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._short: set[tuple[str, str]] = set()
        """(tenant, asset) of wallets that were so the last time."""

    async def run_once(self) -> None:
        """Set every shared metric of the catalogue."""
        async with self.context.pool.acquire() as conn:
            networks = followed(await measures.measure_networks(conn), self.context.settings)
            assets = await measures.measure_assets(conn)
            wallets = await measures.measure_hot_wallets(conn)
            show_networks(networks)
            show_withdrawals(networks, await measures.measure_withdrawals(conn))
            show_wallets(assets, wallets)
            show_reconciliations(networks, assets, await measures.measure_reconciliations(conn))
            await _show_stock(conn, networks, self.context.settings.address_pool_min)
            await _show_queues(conn)
        catalogue.measured_timestamp_seconds.set_to_current_time()
        await self._tell_short(wallets)

    async def _tell_short(self, wallets: Iterable[HotWalletMeasure]) -> None:
        """Tell of a wallet once, when it becomes short; another worker may tell of it again."""
        short = {(w.tenant, w.asset): w for w in wallets if is_short(w)}
        fresh = [wallet for key, wallet in short.items() if key not in self._short]
        if fresh:
            now = datetime.now(UTC)
            async with transact(self.context) as work:
                emit_events(work, [_low_event(wallet, now) for wallet in fresh])
        self._short = set(short)


def followed(networks: Iterable[NetworkMeasure], settings: Settings) -> list[NetworkMeasure]:
    """Leave out networks that are configured no longer: their heights stand still. Pure."""
    configured = {network.network for network in settings.networks}
    return [network for network in networks if network.network in configured]


def is_short(wallet: HotWalletMeasure) -> bool:
    """Whether the wallet holds less than is to be paid from it; the network's fees not counted."""
    return wallet.balance_minor < wallet.open_minor


def show_networks(networks: Iterable[NetworkMeasure]) -> None:
    """Set heights, lag, halts and what is due. A network nobody followed shows no heights."""
    for network in networks:
        catalogue.deposit_oldest_due_seconds.labels(network.network).set(network.oldest_due_s)
        catalogue.network_halted.labels(network.network).set(network.halted)
        catalogue.wallets_halted.labels(network.network).set(network.wallets_halted)
        if network.node_height is None or network.height is None:
            continue
        matched = network.matched_height if network.matched_height is not None else -1
        catalogue.head_height.labels(network.network).set(network.node_height)
        catalogue.followed_height.labels(network.network).set(network.height)
        catalogue.matched_height.labels(network.network).set(matched)
        lag = max(0, network.node_height - min(matched, network.height))
        catalogue.head_lag_blocks.labels(network.network).set(lag)


def show_withdrawals(
    networks: Iterable[NetworkMeasure], withdrawals: Iterable[WithdrawalMeasure]
) -> None:
    """Set how many withdrawals are open, for how long, and what approved ones wait for."""
    names = [network.network for network in networks]
    found = [measure for measure in withdrawals if measure.network in names]
    open_, waiting = Counter[tuple[str, str]](), Counter[tuple[str, WaitReason | None]]()
    for measure in found:
        open_[measure.network, measure.status] += measure.withdrawals
        waiting[measure.network, measure.waits_for] += measure.withdrawals
    for name in names:
        for status in OPEN:
            catalogue.withdrawals_open.labels(name, status).set(open_[name, status])
        for reason in WAIT_REASONS:
            catalogue.withdrawals_waiting.labels(name, reason).set(waiting[name, reason])
    for status in OPEN:
        oldest_s = max((m.oldest_s for m in found if m.status == status), default=0.0)
        catalogue.withdrawal_oldest_seconds.labels(status).set(oldest_s)


def show_wallets(assets: Iterable[AssetMeasure], wallets: Sequence[HotWalletMeasure]) -> None:
    """Set what all hot wallets hold together, and how many are short."""
    short = Counter((w.network, w.asset) for w in wallets if is_short(w))
    for asset in assets:
        of_asset = [w for w in wallets if w.asset == asset.asset]
        total_minor = sum(wallet.balance_minor for wallet in of_asset)
        catalogue.hot_wallet_balance.labels(asset.network, asset.asset).set(
            whole_units(total_minor, asset.decimals)
        )
        catalogue.hot_wallets_short.labels(asset.network, asset.asset).set(
            short[asset.network, asset.asset]
        )


def show_reconciliations(
    networks: Iterable[NetworkMeasure],
    assets: Iterable[AssetMeasure],
    runs: Sequence[ReconciliationMeasure],
) -> None:
    """Set what the newest settled runs found. A network never reconciled shows the time 0."""
    ended = {run.network: run.finished_at_s for run in runs}
    for network in networks:
        catalogue.reconciliation_last_success_timestamp_seconds.labels(network.network).set(
            ended.get(network.network, 0)
        )
    found = Counter[tuple[str | None, str | None]]()
    books = Counter[str | None]()
    for run in runs:
        if run.network is None:
            books[run.scope] += run.differences
        else:
            found[run.network, run.asset] += run.differences
    for asset in assets:
        catalogue.reconciliation_differences.labels(asset.network, asset.asset).set(
            found[asset.network, asset.asset]
        )
    catalogue.ledger_differing_accounts.set(books["balance"])
    catalogue.ledger_unbalanced.set(books["ledger"] > 0)


async def _show_stock(
    conn: Connection, networks: Iterable[NetworkMeasure], keys_wanted: int
) -> None:
    keys = await custody.count_free_keys(conn, [network.network for network in networks])
    for network in keys:
        catalogue.key_pool_free.labels(network.network).set(network.free_keys)
        catalogue.key_pool_wanted.labels(network.network).set(keys_wanted)
    catalogue.accounts_frozen.set(await measures.count_frozen(conn))


async def _show_queues(conn: Connection) -> None:
    outbox = await stream.measure_outbox(conn)
    catalogue.outbox_depth.set(outbox.depth)
    catalogue.outbox_oldest_seconds.set(outbox.oldest_s)
    catalogue.dead_letters_open.set(await stream.count_dead_letters(conn))
    deliveries = await notifications.measure_deliveries(conn)
    catalogue.webhook_deliveries_pending.set(deliveries.pending)
    catalogue.webhook_oldest_due_seconds.set(deliveries.oldest_due_s)
    catalogue.webhook_endpoints_disabled.set(deliveries.endpoints_disabled)


def _low_event(wallet: HotWalletMeasure, now: datetime) -> events.Event:
    key = ("hot_wallet.low", wallet.network, wallet.asset, wallet.address)
    return events.HotWalletLow(
        id=events.make_event_id(now, *key),
        tenant=wallet.tenant,
        occurred_at=now,
        data=event_data.HotWallet(
            network=wallet.network,
            asset=wallet.asset,
            address=wallet.address,
            balance_minor=str(max(0, wallet.balance_minor)),
            threshold_minor=str(wallet.open_minor),
        ),
    )
