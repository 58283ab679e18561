"""What each Grafana dashboard shows. `python -m ops.grafana.build` writes the JSON from it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Panel:
    """One graph: PromQL expressions with the legend of their series, in one Grafana unit."""

    title: str
    unit: str
    queries: tuple[tuple[str, str], ...]
    description: str = ""
    stat: bool = False
    """Only the last value, as a number; red above 0."""
    from_zero: bool = True


@dataclass(frozen=True)
class Dashboard:
    """One page; `uid` is its address and never changes."""

    uid: str
    title: str
    panels: tuple[Panel, ...]
    by_network: bool = False
    """Whether the reader picks networks, `$network` in the expressions."""


def _quantiles(metric: str, by: str, where: str = "") -> tuple[tuple[str, str], ...]:
    """Return the median and the 95th percentile of a histogram, a series for each value of `by`."""
    labels = f"{by}, le" if by else "le"
    legend = " ".join(f"{{{{{label}}}}}" for label in by.split(", ") if label)
    return tuple(
        (
            f"histogram_quantile({quantile}, sum by ({labels})"
            f" (rate({metric}_bucket{where}[$__rate_interval])))",
            f"{legend} p{round(quantile * 100)}".strip(),
        )
        for quantile in (0.5, 0.95)
    )


def _rate(metric: str, by: str, where: str = "") -> tuple[tuple[str, str], ...]:
    legend = " ".join(f"{{{{{label}}}}}" for label in by.split(", "))
    return ((f"sum by ({by}) (rate({metric}{where}[$__rate_interval]))", legend),)


def _one(expression: str, legend: str) -> tuple[tuple[str, str], ...]:
    return ((expression, legend),)


_CHOSEN = '{network=~"$network"}'

OVERVIEW = Dashboard(
    "millrace-overview",
    "Millrace: money flow",
    (
        Panel(
            "Ledger out of balance",
            "none",
            (
                ("max(millrace_ledger_unbalanced)", "trial balance"),
                ("max(millrace_ledger_differing_accounts)", "accounts differing"),
            ),
            "0 is right, anything else is an incident.",
            stat=True,
        ),
        Panel(
            "Accounts that differ from the chain",
            "none",
            _one(
                "max by (network, asset) (millrace_reconciliation_differences)",
                "{{network}} {{asset}}",
            ),
            stat=True,
        ),
        Panel(
            "Frozen accounts", "none", _one("max(millrace_accounts_frozen)", "frozen"), stat=True
        ),
        Panel(
            "Open dead letters", "none", _one("max(millrace_dead_letters_open)", "open"), stat=True
        ),
        Panel(
            "Workers that do not answer",
            "none",
            _one('count(up{job="millrace"} == 0) or vector(0)', "down"),
            stat=True,
        ),
        Panel(
            "Halted networks",
            "none",
            _one("max by (network) (millrace_network_halted)", "{{network}}"),
            stat=True,
        ),
        Panel("Deposits", "ops", _rate("millrace_deposits_total", "network, status")),
        Panel("Withdrawals", "ops", _rate("millrace_withdrawals_total", "network, status")),
        Panel(
            "Longest time a due deposit waits",
            "s",
            _one("max by (network) (millrace_deposit_oldest_due_seconds)", "{{network}}"),
        ),
        Panel(
            "Deposited in a day",
            "none",
            _one(
                "sum by (network, asset) (increase(millrace_deposit_volume_total[1d]))",
                "{{network}} {{asset}}",
            ),
            "Whole units of the asset, rounded: for orientation, the ledger is exact.",
        ),
        Panel(
            "Withdrawn in a day",
            "none",
            _one(
                "sum by (network, asset) (increase(millrace_withdrawal_volume_total[1d]))",
                "{{network}} {{asset}}",
            ),
            "Whole units of the asset, rounded: for orientation, the ledger is exact.",
        ),
        Panel("Journal entries", "ops", _rate("millrace_ledger_entries_total", "kind, outcome")),
        Panel(
            "Time since the last reconciliation",
            "s",
            _one(
                "time() - max by (network)"
                " (millrace_reconciliation_last_success_timestamp_seconds)",
                "{{network}}",
            ),
        ),
    ),
)

CHAINS = Dashboard(
    "millrace-chains",
    "Millrace: chains",
    (
        Panel(
            "Heights",
            "none",
            (
                (f"max by (network) (millrace_head_height{_CHOSEN})", "{{network}} tip"),
                (f"max by (network) (millrace_followed_height{_CHOSEN})", "{{network}} followed"),
                (f"max by (network) (millrace_matched_height{_CHOSEN})", "{{network}} matched"),
            ),
            from_zero=False,
        ),
        Panel(
            "Blocks behind the tip",
            "none",
            _one(f"max by (network) (millrace_head_lag_blocks{_CHOSEN})", "{{network}}"),
        ),
        Panel(
            "Time of RPC requests",
            "s",
            _quantiles("millrace_rpc_request_seconds", "network, method", _CHOSEN),
        ),
        Panel(
            "RPC requests",
            "reqps",
            _rate("millrace_rpc_request_seconds_count", "network, outcome", _CHOSEN),
        ),
        Panel(
            "Endpoints that answer",
            "none",
            _one(
                f"min by (network, endpoint) (millrace_rpc_endpoint_up{_CHOSEN})",
                "{{network}} {{endpoint}}",
            ),
            "1 answers, 0 does not; numbered as in rpc_urls.",
        ),
        Panel(
            "Time to read a block",
            "s",
            _quantiles("millrace_block_read_seconds", "network", _CHOSEN),
        ),
        Panel("Blocks", "ops", _rate("millrace_blocks_total", "network, event", _CHOSEN)),
        Panel(
            "Reorganisations in an hour",
            "none",
            _one(f"sum by (network) (increase(millrace_reorgs_total{_CHOSEN}[1h]))", "{{network}}"),
        ),
        Panel(
            "Depth of reorganisations",
            "none",
            _one(
                "histogram_quantile(0.95, sum by (network, le)"
                f" (rate(millrace_reorg_depth_blocks_bucket{_CHOSEN}[1h])))",
                "{{network}} p95",
            ),
        ),
        Panel("Transfers", "ops", _rate("millrace_transfers_total", "network", _CHOSEN)),
        Panel(
            "Watched addresses",
            "none",
            _one(f"max by (network) (millrace_watched_addresses{_CHOSEN})", "{{network}}"),
        ),
        Panel(
            "Keys left for new addresses",
            "none",
            _one(f"max by (network) (millrace_key_pool_free{_CHOSEN})", "{{network}}"),
        ),
    ),
    by_network=True,
)

STAGES = Dashboard(
    "millrace-stages",
    "Millrace: stages",
    (
        Panel(
            "Records to be done",
            "none",
            _one(
                "sum by (stage) (max by (stage, topic, partition) (millrace_stage_lag_records))",
                "{{stage}}",
            ),
        ),
        Panel("Records done", "ops", _rate("millrace_stage_records_total", "stage")),
        Panel("Time of a batch", "s", _quantiles("millrace_stage_seconds", "stage")),
        Panel(
            "Age of records when done",
            "s",
            _quantiles("millrace_stage_record_age_seconds", "stage"),
        ),
        Panel("Records in a batch", "none", _quantiles("millrace_stage_batch_records", "stage")),
        Panel("Batches tried again", "ops", _rate("millrace_stage_retries_total", "stage")),
        Panel("Dead letters", "ops", _rate("millrace_dead_letters_total", "stage")),
        Panel(
            "Outbox: records to be published",
            "none",
            _one("max(millrace_outbox_depth)", "records"),
        ),
        Panel(
            "Outbox: age of the oldest record",
            "s",
            _one("max(millrace_outbox_oldest_seconds)", "age"),
        ),
        Panel("Outbox: published", "ops", _rate("millrace_outbox_published_total", "topic")),
        Panel(
            "Leases held",
            "none",
            _one("sum by (name) (millrace_lease_held)", "{{name}}"),
            "1 for each; 0: nobody does this work.",
        ),
    ),
)

WITHDRAWALS = Dashboard(
    "millrace-withdrawals",
    "Millrace: withdrawals",
    (
        Panel(
            "Open withdrawals",
            "none",
            _one(
                f"max by (network, status) (millrace_withdrawals_open{_CHOSEN})",
                "{{network}} {{status}}",
            ),
        ),
        Panel(
            "Approved, by what they wait for",
            "none",
            _one(
                f"max by (network, reason) (millrace_withdrawals_waiting{_CHOSEN}) > 0",
                "{{network}} {{reason}}",
            ),
            "When the signer last looked; docs/cli.md says what ends it.",
        ),
        Panel(
            "Oldest in its status",
            "s",
            _one("max by (status) (millrace_withdrawal_oldest_seconds)", "{{status}}"),
        ),
        Panel("Broadcasts", "ops", _rate("millrace_broadcast_total", "network, outcome", _CHOSEN)),
        Panel(
            "Replacements in an hour",
            "none",
            _one(
                f"sum by (network) (increase(millrace_withdrawal_replacements_total{_CHOSEN}[1h]))",
                "{{network}}",
            ),
        ),
        Panel(
            "Hot wallets",
            "none",
            _one(
                f"max by (network, asset) (millrace_hot_wallet_balance{_CHOSEN})",
                "{{network}} {{asset}}",
            ),
            "Whole units of the asset, all tenants together.",
        ),
        Panel(
            "Hot wallets short of money",
            "none",
            _one(
                f"max by (network, asset) (millrace_hot_wallets_short{_CHOSEN})",
                "{{network}} {{asset}}",
            ),
            stat=True,
        ),
        Panel(
            "Halted wallets",
            "none",
            _one(f"max by (network) (millrace_wallets_halted{_CHOSEN})", "{{network}}"),
            stat=True,
        ),
    ),
    by_network=True,
)

WEBHOOKS = Dashboard(
    "millrace-webhooks",
    "Millrace: webhooks",
    (
        Panel("Attempts", "ops", _rate("millrace_webhook_attempts_total", "outcome")),
        Panel("Time of an attempt", "s", _quantiles("millrace_webhook_delivery_seconds", "")),
        Panel(
            "Deliveries waiting",
            "none",
            _one("max(millrace_webhook_deliveries_pending)", "pending"),
        ),
        Panel(
            "Oldest delivery that is due",
            "s",
            _one("max(millrace_webhook_oldest_due_seconds)", "age"),
        ),
        Panel(
            "Disabled endpoints",
            "none",
            _one("max(millrace_webhook_endpoints_disabled)", "disabled"),
            stat=True,
        ),
    ),
)

DATABASE = Dashboard(
    "millrace-database",
    "Millrace: database and processes",
    (
        Panel(
            "Connections of the pools",
            "none",
            _one(
                "sum by (role, instance, state) (millrace_db_pool_connections)",
                "{{role}} {{instance}} {{state}}",
            ),
        ),
        Panel(
            "Clock ahead of the database's",
            "s",
            _one("millrace_clock_skew_seconds", "{{role}} {{instance}}"),
            from_zero=False,
        ),
        Panel("Wait for a connection", "s", _quantiles("millrace_db_acquire_seconds", "role")),
        Panel("Time to post a batch", "s", _quantiles("millrace_ledger_post_seconds", "")),
        Panel(
            "Memory",
            "bytes",
            _one('process_resident_memory_bytes{job="millrace"}', "{{role}} {{instance}}"),
        ),
        Panel(
            "CPU",
            "percentunit",
            _one(
                'rate(process_cpu_seconds_total{job="millrace"}[$__rate_interval])',
                "{{role}} {{instance}}",
            ),
            "1 is one core, the most a worker can use.",
        ),
        Panel(
            "Versions",
            "none",
            _one(
                "count by (version, python) (millrace_build_info)",
                "Millrace {{version}}, Python {{python}}",
            ),
        ),
    ),
)

DASHBOARDS = (OVERVIEW, CHAINS, STAGES, WITHDRAWALS, WEBHOOKS, DATABASE)
