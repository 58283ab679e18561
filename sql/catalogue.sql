-- name: upsert_networks
-- Bring the networks to what is configured; tells those that were not so yet. None is removed, and
-- kind and native asset stay what they are: addresses were given and fees booked under them.
INSERT INTO networks AS n (network, kind, native_asset, confirmations, finality)
SELECT
    w.network,
    w.kind,
    w.native_asset,
    w.confirmations,
    w.finality
FROM
    unnest(
        :networks::text [], :kinds::text [], :native_assets::text [],
        :confirmations::integer [], :finalities::text []
    ) AS w (network, kind, native_asset, confirmations, finality)
ON CONFLICT (network) DO UPDATE SET
    confirmations = excluded.confirmations,
    finality = excluded.finality
WHERE
    (n.confirmations, n.finality)
    IS DISTINCT FROM
    (excluded.confirmations, excluded.finality)
RETURNING n.network;

-- name: upsert_assets
-- Bring the assets to what is configured; tells those that were not so yet. None is removed.
INSERT INTO assets AS a (
    asset, network, contract, decimals, deposit_minor_min, confirmations_by_amount,
    withdrawal_minor_min, withdrawal_minor_max, withdrawal_minor_max_day,
    withdrawal_count_max_hour, withdrawal_approval_minor, withdrawal_fee_minor
)
SELECT
    w.asset,
    w.network,
    w.contract,
    w.decimals,
    w.deposit_minor_min::numeric,
    w.confirmations_by_amount::jsonb,
    w.withdrawal_minor_min::numeric,
    w.withdrawal_minor_max::numeric,
    w.withdrawal_minor_max_day::numeric,
    w.withdrawal_count_max_hour,
    w.withdrawal_approval_minor::numeric,
    w.withdrawal_fee_minor::numeric
FROM
    unnest(
        :assets::text [], :networks::text [], :contracts::text [], :decimals::smallint [],
        :deposit_minor_mins::text [], :confirmations_by_amounts::text [],
        :withdrawal_minor_mins::text [], :withdrawal_minor_maxs::text [],
        :withdrawal_minor_max_days::text [], :withdrawal_count_max_hours::integer [],
        :withdrawal_approval_minors::text [], :withdrawal_fee_minors::text []
    ) AS w (
        asset, network, contract, decimals, deposit_minor_min, confirmations_by_amount,
        withdrawal_minor_min, withdrawal_minor_max, withdrawal_minor_max_day,
        withdrawal_count_max_hour, withdrawal_approval_minor, withdrawal_fee_minor
    )
ON CONFLICT (asset) DO UPDATE SET
    deposit_minor_min = excluded.deposit_minor_min,
    confirmations_by_amount = excluded.confirmations_by_amount,
    withdrawal_minor_min = excluded.withdrawal_minor_min,
    withdrawal_minor_max = excluded.withdrawal_minor_max,
    withdrawal_minor_max_day = excluded.withdrawal_minor_max_day,
    withdrawal_count_max_hour = excluded.withdrawal_count_max_hour,
    withdrawal_approval_minor = excluded.withdrawal_approval_minor,
    withdrawal_fee_minor = excluded.withdrawal_fee_minor
WHERE
    (
        a.deposit_minor_min, a.confirmations_by_amount, a.withdrawal_minor_min,
        a.withdrawal_minor_max, a.withdrawal_minor_max_day, a.withdrawal_count_max_hour,
        a.withdrawal_approval_minor, a.withdrawal_fee_minor
    )
    IS DISTINCT FROM
    (
        excluded.deposit_minor_min, excluded.confirmations_by_amount,
        excluded.withdrawal_minor_min, excluded.withdrawal_minor_max,
        excluded.withdrawal_minor_max_day, excluded.withdrawal_count_max_hour,
        excluded.withdrawal_approval_minor, excluded.withdrawal_fee_minor
    )
RETURNING a.asset;

-- name: list_networks
-- Every network with how far it is followed.
SELECT
    n.network,
    n.kind,
    n.native_asset,
    n.confirmations,
    n.finality,
    c.height,
    c.matched_height,
    c.node_height,
    c.halted_reason,
    c.updated_at,
    c.safe_height,
    c.finalized_height
FROM networks AS n
LEFT JOIN cursors AS c ON n.network = c.network
ORDER BY n.network;

-- name: list_assets
-- Every asset that is credited and paid out.
SELECT
    a.asset,
    a.network,
    a.contract,
    a.decimals,
    n.confirmations,
    a.deposit_minor_min::text AS deposit_minor_min,
    a.withdrawal_minor_min::text AS withdrawal_minor_min,
    a.withdrawal_minor_max::text AS withdrawal_minor_max,
    a.withdrawal_approval_minor::text AS withdrawal_approval_minor,
    a.withdrawal_fee_minor::text AS withdrawal_fee_minor,
    a.withdrawal_minor_max_day::text AS withdrawal_minor_max_day,
    a.withdrawal_count_max_hour,
    a.confirmations_by_amount
FROM assets AS a
INNER JOIN networks AS n ON a.network = n.network
ORDER BY a.network, a.contract NULLS FIRST;

-- name: open_work
-- What is under way on each network: withdrawals not at their end, and deposits that wait for their
-- confirmations.
SELECT
    n.network,
    (
        SELECT count(*) FROM withdrawals AS w
        WHERE
            w.network = n.network
            AND w.status IN ('awaiting_approval', 'approved', 'signed', 'broadcast')
    ) AS withdrawals,
    (SELECT count(*) FROM waiting_deposits AS d WHERE d.network = n.network) AS deposits
FROM networks AS n
ORDER BY n.network;
