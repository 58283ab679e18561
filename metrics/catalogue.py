"""Every metric of Millrace: its name, kind, labels and meaning, in this one place.

Names start with `millrace_` and end in the base unit (Prometheus naming rules: seconds, bytes,
`_total` for counters). Label values are few and known beforehand: never an address, a tenant, a
transaction or any other id; `LABELS` says what bounds each label.

Process metrics tell what this process does. Shared metrics tell what the database holds and are
the same whoever reads it, so one worker alone reads and shows them (see `metrics.server`):
otherwise a worker that lost the lease would go on showing old figures. Queries over shared metrics
take `max`, because for one scrape interval after a take-over two workers may show them.

Amounts of money are shown as floats in whole units of the asset and are for graphs only: a float
keeps 53 bits, wei need up to 256. What must be exact is counted (accounts that differ), never
subtracted here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
)

PREFIX = "millrace_"
Kind = Literal["counter", "gauge", "histogram"]

LABELS: dict[str, str] = {
    "network": "CAIP-2 id of a configured network",
    "asset": "a configured asset",
    "method": "RPC method, one of those the adapters use; a batch joins them by `+`",
    "outcome": "what came of it, from a fixed list given with the metric",
    "endpoint": "position in `rpc_urls`, from 0; never the URL, which may hold a key",
    "event": "`added` or `removed`",
    "status": "status of the row, as in the database",
    "reason": "what an approved withdrawal waits for, one of those in docs/cli.md",
    "stage": "name of a stage",
    "topic": "name of a topic",
    "partition": "number of a partition",
    "kind": "kind of journal entry",
    "state": "`idle`, `used` or `max`",
    "name": "name of a lease",
    "version": "version of Millrace",
    "python": "version of Python",
}


@dataclass(frozen=True)
class Entry:
    """One metric as the documentation and the tests of dashboards and alerts see it."""

    name: str
    kind: Kind
    labels: tuple[str, ...]
    meaning: str
    shared: bool = False


REGISTRY = CollectorRegistry()
"""What this process does, its memory and CPU time included."""
SHARED_REGISTRY = CollectorRegistry()
"""What the database holds; shown by one worker."""
CATALOGUE: dict[str, Entry] = {}

disable_created_metrics()  # type: ignore[no-untyped-call]
ProcessCollector(registry=REGISTRY)
PlatformCollector(registry=REGISTRY)


def _counter(name: str, meaning: str, *labels: str) -> Counter:
    _enter(name, "counter", meaning, labels)
    return Counter(PREFIX + name, meaning, labels, registry=REGISTRY)


def _gauge(name: str, meaning: str, *labels: str) -> Gauge:
    _enter(name, "gauge", meaning, labels)
    return Gauge(PREFIX + name, meaning, labels, registry=REGISTRY)


def _shared(name: str, meaning: str, *labels: str) -> Gauge:
    _enter(name, "gauge", meaning, labels, shared=True)
    return Gauge(PREFIX + name, meaning, labels, registry=SHARED_REGISTRY)


def _histogram(name: str, meaning: str, buckets: Sequence[float], *labels: str) -> Histogram:
    _enter(name, "histogram", meaning, labels)
    return Histogram(PREFIX + name, meaning, labels, registry=REGISTRY, buckets=buckets)


def _enter(
    name: str, kind: Kind, meaning: str, labels: tuple[str, ...], *, shared: bool = False
) -> None:
    full = PREFIX + name
    CATALOGUE[full] = Entry(full, kind, labels, meaning, shared)


_QUICK_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_REMOTE_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30)
_AGE_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600)
_BATCH = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
_DEPTH = (1, 2, 3, 6, 12, 24, 32, 64, 128)

# Chains

rpc_request_seconds = _histogram(
    "rpc_request_seconds",
    "Time of one request to a node. outcome: ok (an answer came, perhaps a refusal), unavailable.",
    _REMOTE_S,
    "network",
    "method",
    "outcome",
)
rpc_endpoint_up = _gauge(
    "rpc_endpoint_up",
    "1 if the endpoint gave a usable answer when last asked, else 0.",
    "network",
    "endpoint",
)
block_read_seconds = _histogram(
    "block_read_seconds",
    "Time to fetch one block with its receipts and normalise it.",
    _REMOTE_S,
    "network",
)
blocks_total = _counter(
    "blocks_total",
    "Blocks followed. event: added, removed by a reorganisation.",
    "network",
    "event",
)
reorgs_total = _counter("reorgs_total", "Reorganisations followed.", "network")
reorg_depth_blocks = _histogram(
    "reorg_depth_blocks", "Blocks removed by one reorganisation.", _DEPTH, "network"
)
transfers_total = _counter("transfers_total", "Transfers read from blocks.", "network")
watched_addresses = _gauge(
    "watched_addresses", "Addresses the matcher of this process knows.", "network"
)
head_height = _shared("head_height", "Height of the tip the node spoke of.", "network")
followed_height = _shared("followed_height", "Height of the highest block followed.", "network")
matched_height = _shared(
    "matched_height", "Height of the highest block matched against our addresses.", "network"
)
head_lag_blocks = _shared(
    "head_lag_blocks", "Blocks between the node's tip and the highest block matched.", "network"
)
network_halted = _shared(
    "network_halted", "1 while the network waits for an operator, else 0.", "network"
)
key_pool_free = _shared("key_pool_free", "Public keys ready for deposit addresses.", "network")
key_pool_wanted = _shared(
    "key_pool_wanted", "How many of them the signer keeps ready: address_pool_min.", "network"
)

# Deposits

deposits_total = _counter(
    "deposits_total",
    "Deposits that took this status: detected, confirmed, orphaned, ignored. asset is `unknown`"
    " for a token nobody allow-listed.",
    "network",
    "asset",
    "status",
)
deposit_volume_total = _counter(
    "deposit_volume_total",
    "Confirmed deposits in whole units of the asset; a float, for graphs only.",
    "network",
    "asset",
)
deposit_oldest_due_seconds = _shared(
    "deposit_oldest_due_seconds",
    "Time since the deposit was found that has its confirmations for longest and is not confirmed;"
    " 0 if there is none. Where finality is safe or finalized, minutes are usual.",
    "network",
)

# Stages

stage_records_total = _counter("stage_records_total", "Records done and acked.", "stage")
stage_batch_records = _histogram(
    "stage_batch_records", "Records taken in one batch.", _BATCH, "stage"
)
stage_seconds = _histogram(
    "stage_seconds", "Time from taking a batch to its commit, retries included.", _QUICK_S, "stage"
)
stage_record_age_seconds = _histogram(
    "stage_record_age_seconds",
    "Age of a batch's oldest record at its commit, counted from its Kafka time stamp.",
    _AGE_S,
    "stage",
)
stage_lag_records = _gauge(
    "stage_lag_records",
    "Records written and not yet done, for the partitions this process holds.",
    "stage",
    "topic",
    "partition",
)
stage_retries_total = _counter(
    "stage_retries_total", "Batches tried again after a passing fault.", "stage"
)
dead_letters_total = _counter(
    "dead_letters_total", "Records put aside because no stage could use them.", "stage"
)
dead_letters_open = _shared("dead_letters_open", "Dead letters neither redriven nor discarded.")
outbox_depth = _shared("outbox_depth", "Records committed and not yet published.")
outbox_oldest_seconds = _shared(
    "outbox_oldest_seconds", "Age of the oldest record not yet published; 0 if there is none."
)
outbox_published_total = _counter(
    "outbox_published_total", "Records published from the outbox.", "topic"
)
lease_held = _gauge("lease_held", "1 while this process holds the lease, else 0.", "name")

# Ledger

ledger_entries_total = _counter(
    "ledger_entries_total",
    "Journal entries asked for. outcome: posted, duplicate, insufficient_funds, frozen, invalid.",
    "kind",
    "outcome",
)
ledger_post_seconds = _histogram(
    "ledger_post_seconds", "Time to post one batch of journal entries.", _QUICK_S
)
ledger_unbalanced = _shared(
    "ledger_unbalanced",
    "1 if the trial balance of any asset is not zero, else 0. A flag, since a float cannot hold the"
    " difference.",
)
ledger_differing_accounts = _shared(
    "ledger_differing_accounts",
    "Accounts whose balance is not the sum of their postings.",
)
accounts_frozen = _shared("accounts_frozen", "Accounts frozen because reversed money was spent.")
reconciliation_differences = _shared(
    "reconciliation_differences",
    "Accounts for which the chain and the ledger differ. A count, since a float cannot hold the"
    " amounts.",
    "network",
    "asset",
)
reconciliation_last_success_timestamp_seconds = _shared(
    "reconciliation_last_success_timestamp_seconds",
    "Unix time of the last reconciliation that ran to its end, whatever it found.",
    "network",
)

# Withdrawals

withdrawals_total = _counter(
    "withdrawals_total",
    "Withdrawals that took this status. asset is `unknown` for a refused command that names none"
    " of ours, and so is network.",
    "network",
    "asset",
    "status",
)
withdrawal_volume_total = _counter(
    "withdrawal_volume_total",
    "Confirmed withdrawals in whole units of the asset; a float, for graphs only.",
    "network",
    "asset",
)
withdrawals_open = _shared(
    "withdrawals_open", "Withdrawals in a status that is not final.", "network", "status"
)
withdrawals_waiting = _shared(
    "withdrawals_waiting",
    "Approved withdrawals by what they waited for when the signer last looked at them. What it has"
    " not looked at yet is not among them.",
    "network",
    "reason",
)
withdrawal_oldest_seconds = _shared(
    "withdrawal_oldest_seconds",
    "Time the oldest open withdrawal of this status has been in it; 0 if there is none.",
    "status",
)
withdrawal_replacements_total = _counter(
    "withdrawal_replacements_total",
    "Payments signed again for a higher fee, at the same nonce or with the same coin.",
    "network",
)
withdrawal_doubts_total = _counter(
    "withdrawal_doubts_total",
    "Transactions found expired by our blocks that a node takes or knows all the same.",
    "network",
)
coin_takings_total = _counter(
    "coin_takings_total",
    "Withdrawals of which a block shows that another transaction took a coin. outcome: paid (the"
    " same payment under another id), lost (given up, its money is back), doubt (it pays the"
    " recipient less than was ordered; counted each time it is looked at).",
    "network",
    "outcome",
)
broadcast_total = _counter(
    "broadcast_total",
    "Broadcasts. outcome: accepted, refused, nonce_used, unknown (no answer: not a failure).",
    "network",
    "outcome",
)
hot_wallet_balance = _shared(
    "hot_wallet_balance",
    "Balance of all hot wallets on chain in whole units of the asset; a float, for graphs only.",
    "network",
    "asset",
)
hot_wallets_short = _shared(
    "hot_wallets_short",
    "Hot wallets that hold less than the open withdrawals to be paid from them.",
    "network",
    "asset",
)
wallets_halted = _shared(
    "wallets_halted",
    "Hot wallets from which nothing is signed until an operator resumes them.",
    "network",
)

# Webhooks

webhook_attempts_total = _counter(
    "webhook_attempts_total",
    "Attempts to deliver. outcome: delivered, refused (an answer that is not 2xx), timeout,"
    " unreachable, forbidden (an address that must not be reached), gone (410).",
    "outcome",
)
webhook_delivery_seconds = _histogram(
    "webhook_delivery_seconds", "Time of one attempt, from connecting to the answer.", _REMOTE_S
)
webhook_deliveries_pending = _shared(
    "webhook_deliveries_pending", "Deliveries neither made nor given up."
)
webhook_oldest_due_seconds = _shared(
    "webhook_oldest_due_seconds",
    "Time since the oldest delivery whose attempt is due became due; 0 if there is none.",
)
webhook_endpoints_disabled = _shared(
    "webhook_endpoints_disabled", "Endpoints disabled after long failure or a 410."
)

# Process

measured_timestamp_seconds = _shared(
    "measured_timestamp_seconds", "Unix time at which all shared metrics were last read."
)
db_pool_connections = _gauge(
    "db_pool_connections", "Connections of the database pool of this process.", "state"
)
db_acquire_seconds = _histogram(
    "db_acquire_seconds", "Time waited for a connection of the pool.", _QUICK_S
)
clock_skew_seconds = _gauge(
    "clock_skew_seconds", "How far this process's clock is ahead of the database's."
)
build_info = _gauge("build_info", "Always 1; tells what runs.", "version", "python")


def prepare_network(network: str) -> None:
    """Show the counters of a network as 0 before anything happened.

    Prometheus cannot see the first increase of a series that was not there before, so an alert on
    it would miss the first reorganisation. Call once for each network a process works on.
    """
    reorgs_total.labels(network)
    reorg_depth_blocks.labels(network)
    transfers_total.labels(network)
    withdrawal_replacements_total.labels(network)
    withdrawal_doubts_total.labels(network)
    for outcome in ("paid", "lost", "doubt"):
        coin_takings_total.labels(network, outcome)
    for event in ("added", "removed"):
        blocks_total.labels(network, event)
    for outcome in ("accepted", "refused", "nonce_used", "unknown"):
        broadcast_total.labels(network, outcome)


def prepare_asset(network: str, asset: str) -> None:
    """Show what came and went of an asset as 0 before anything did, for the same reason."""
    deposit_volume_total.labels(network, asset)
    withdrawal_volume_total.labels(network, asset)


def prepare_stage(stage: str) -> None:
    """Show the counters of a stage as 0 before its first record, for the same reason."""
    stage_records_total.labels(stage)
    stage_retries_total.labels(stage)
    dead_letters_total.labels(stage)
