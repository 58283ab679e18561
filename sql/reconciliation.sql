-- name: chain_state^
-- The height up to which a network is both followed and matched, its block, and whether the stages
-- are at rest: no block or fact stuck on its way to Kafka, deposits looked at as far as payments and,
-- if any is open, the other way round. Both stages read one topic, so their offsets tell.
SELECT
    b.height,
    b.block_id,
    NOT EXISTS (
        SELECT 1 FROM blocks AS p
        WHERE p.network = c.network AND p.height <= b.height AND NOT p.published
    )
    AND NOT EXISTS (
        SELECT 1 FROM outbox AS o
        WHERE o.key = c.network AND o.created_at < now() - interval '2 seconds'
    )
    AND NOT EXISTS (
        SELECT 1 FROM inbox AS m
        INNER JOIN inbox AS w
            ON
                m.cluster_id = w.cluster_id
                AND m.topic = w.topic
                AND m.partition = w.partition
        WHERE
            m.stage = 'match_deposits'
            AND w.stage = 'confirm_withdrawals'
            AND (
                m.next_offset < w.next_offset
                OR m.next_offset > w.next_offset
                AND EXISTS (
                    SELECT 1 FROM transactions AS t
                    WHERE t.network = c.network AND t.state IN ('signed', 'broadcast')
                )
            )
            AND m.cluster_id = (
                SELECT i.cluster_id FROM inbox AS i
                ORDER BY i.updated_at DESC
                LIMIT 1
            )
    ) AS settled,
    coalesce(s.serial, 0) AS last_serial
FROM cursors AS c
INNER JOIN blocks AS b
    ON c.network = b.network AND b.height = least(c.height, c.matched_height)
LEFT JOIN address_counters AS s ON c.network = s.network
WHERE c.network = :network::text AND c.matched_height IS NOT NULL;

-- name: allow_memory$
-- Let this transaction sort and hash in memory: it reads whole tables, and is one of its kind.
SELECT set_config('work_mem', :work_mem::text, true);

-- name: address_figures
-- What should be on our addresses after a block, by asset: wallets in every asset, addresses that
-- ever got something in that asset, and a stretch of all addresses in every asset. total is their
-- number before the limit, which keeps wallets, then the stretch, then the latest used.
WITH candidates AS (
    SELECT
        o.tenant,
        o.address,
        a.asset,
        0 AS rank,
        0::numeric AS amount_minor,
        NULL::bigint AS height
    FROM addresses AS o
    INNER JOIN assets AS a ON o.network = a.network
    WHERE o.network = :network::text AND o.purpose <> 'deposit'
    UNION ALL
    SELECT
        o.tenant,
        o.address,
        a.asset,
        1 AS rank,
        0::numeric AS amount_minor,
        NULL::bigint AS height
    FROM addresses AS o
    INNER JOIN assets AS a ON o.network = a.network
    WHERE
        o.network = :network::text
        AND o.serial >= :first_serial::bigint
        AND o.serial < :first_serial::bigint + :stretch::bigint
    UNION ALL
    SELECT
        m.tenant,
        m.address,
        m.asset,
        2 AS rank,
        m.amount_minor,
        m.height
    FROM address_movements AS m
    WHERE
        m.network = :network::text
        AND m.height <= :height::bigint
        AND (:only::text [] IS NULL OR m.address = any(:only::text []))
),

figures AS (
    SELECT
        c.tenant,
        c.address,
        c.asset,
        min(c.rank) AS rank,
        max(c.height) AS newest_height,
        sum(c.amount_minor) AS recorded_minor
    FROM candidates AS c
    WHERE :only::text [] IS NULL OR c.address = any(:only::text [])
    GROUP BY c.tenant, c.address, c.asset
)

SELECT
    f.tenant,
    f.address,
    f.asset,
    a.contract,
    f.recorded_minor::text AS recorded_minor,
    count(*) OVER () AS total
FROM figures AS f
INNER JOIN assets AS a ON f.asset = a.asset
ORDER BY f.rank ASC, f.newest_height DESC NULLS LAST, f.address ASC, f.asset ASC
LIMIT :limit_rows::bigint;

-- name: wallet_figures
-- Each deposit, withdrawal and network cost as recorded up to a block, against what the journal moved
-- on wallet accounts for it, summed by account and reason. Reads all deposits and the whole journal.
-- settled: both agree. detected, ignored, unconfirmed: not to be booked (yet). unposted, unreversed:
-- decided, on its way to the journal. ahead: booked, above the block. overdue: on its way for too
-- long. unexplained: anything else; reference_ids names the first of these last two.
WITH recorded AS (
    SELECT
        m.tenant,
        m.asset,
        m.bucket,
        m.reference_type,
        m.reference_id,
        sum(m.amount_minor) AS amount_minor
    FROM address_movements AS m
    WHERE m.network = :network::text AND m.height <= :height::bigint
    GROUP BY m.tenant, m.asset, m.bucket, m.reference_type, m.reference_id
),

booked AS (
    SELECT
        a.tenant,
        a.asset,
        a.bucket,
        l.reference_type,
        l.reference_id,
        sum(s.amount_minor) AS amount_minor
    FROM journal_lines AS l
    CROSS JOIN LATERAL (VALUES
        (l.debit_account, l.amount_minor),
        (l.credit_account, -l.amount_minor)
    ) AS s (account_id, amount_minor)
    INNER JOIN accounts AS a ON s.account_id = a.account_id
    INNER JOIN assets AS n ON a.asset = n.asset
    WHERE
        n.network = :network::text
        AND a.bucket IN ('deposit_wallets', 'hot_wallet', 'cold_wallet', 'gas_wallet')
    GROUP BY a.tenant, a.asset, a.bucket, l.reference_type, l.reference_id
),

compared AS MATERIALIZED (
    SELECT
        coalesce(r.tenant, b.tenant) AS tenant,
        coalesce(r.asset, b.asset) AS asset,
        coalesce(r.bucket, b.bucket) AS bucket,
        coalesce(r.reference_type, b.reference_type) AS reference_type,
        coalesce(r.reference_id, b.reference_id) AS reference_id,
        coalesce(r.amount_minor, 0) AS recorded_minor,
        coalesce(b.amount_minor, 0) AS booked_minor
    FROM recorded AS r
    FULL JOIN booked AS b
        ON
            r.tenant = b.tenant
            AND r.asset = b.asset
            AND r.bucket = b.bucket
            AND r.reference_type = b.reference_type
            AND r.reference_id = b.reference_id
),

open AS MATERIALIZED (
    SELECT
        c.*,
        CASE WHEN c.reference_id ~ '^[0-9]{1,18}$' THEN c.reference_id::bigint END AS row_id
    FROM compared AS c
    WHERE c.recorded_minor <> c.booked_minor
),

judged AS (
    SELECT
        o.*,
        CASE
            WHEN o.recorded_minor <> 0 AND o.booked_minor <> 0 THEN 'unexplained'
            WHEN o.booked_minor = 0 AND r.status IN ('detected', 'ignored') THEN r.status
            WHEN o.booked_minor = 0 AND r.status = 'confirmed'
                THEN CASE WHEN r.confirmed_at < :overdue_before::timestamptz
                    THEN 'overdue' ELSE 'unposted' END
            WHEN o.booked_minor = 0 AND w.status IN ('signed', 'broadcast') THEN 'unconfirmed'
            WHEN o.booked_minor = 0 AND w.status IN ('confirmed', 'failed')
                THEN CASE WHEN w.updated_at < :overdue_before::timestamptz
                    THEN 'overdue' ELSE 'unposted' END
            WHEN r.status IN ('orphaned', 'disowned') AND abs(o.booked_minor) = r.amount_minor
                THEN CASE WHEN r.height < :overdue_below_height::bigint
                    THEN 'overdue' ELSE 'unreversed' END
            WHEN r.height > :height::bigint AND abs(o.booked_minor) = r.amount_minor THEN 'ahead'
            WHEN t.height > :height::bigint THEN 'ahead'
            WHEN w.status IN ('signed', 'broadcast')
                THEN CASE WHEN w.updated_at < :overdue_before::timestamptz
                    THEN 'overdue' ELSE 'unreversed' END
            ELSE 'unexplained'
        END AS reason
    FROM open AS o
    LEFT JOIN deposits AS d
        ON
            o.reference_type = 'deposit'
            AND o.row_id = d.deposit_id
            AND o.tenant = d.tenant
            AND d.network = :network::text
    LEFT JOIN network_costs AS k
        ON
            o.reference_type = 'cost'
            AND o.row_id = k.cost_id
            AND o.tenant = k.tenant
            AND k.network = :network::text
    CROSS JOIN LATERAL (
        SELECT
            coalesce(d.status, k.status) AS status,
            coalesce(d.confirmed_at, k.confirmed_at) AS confirmed_at,
            coalesce(d.height, k.height) AS height,
            coalesce(d.amount_minor, abs(k.amount_minor)) AS amount_minor
    ) AS r
    LEFT JOIN withdrawals AS w
        ON
            o.reference_type = 'withdrawal'
            AND o.row_id = w.withdrawal_id
            AND o.tenant = w.tenant
            AND w.network = :network::text
    LEFT JOIN transactions AS t ON w.withdrawal_id = t.withdrawal_id AND t.state = 'mined'
)

SELECT
    c.tenant,
    c.asset,
    c.bucket,
    'settled' AS reason,
    count(*) AS movements,
    sum(c.recorded_minor)::text AS recorded_minor,
    sum(c.booked_minor)::text AS booked_minor,
    '{}'::text [] AS reference_ids
FROM compared AS c
WHERE c.recorded_minor = c.booked_minor
GROUP BY c.tenant, c.asset, c.bucket
UNION ALL
SELECT
    j.tenant,
    j.asset,
    j.bucket,
    j.reason,
    count(*) AS movements,
    sum(j.recorded_minor)::text AS recorded_minor,
    sum(j.booked_minor)::text AS booked_minor,
    coalesce(
        (
            array_agg(j.reference_type || ' ' || j.reference_id ORDER BY j.row_id)
            FILTER (WHERE j.reason IN ('overdue', 'unexplained'))
        )[1 : 10],
        '{}'
    ) AS reference_ids
FROM judged AS j
GROUP BY j.tenant, j.asset, j.bucket, j.reason
ORDER BY tenant, asset, bucket, reason;

-- name: wallet_balances
-- What the ledger's balances say is on the wallets of a network.
SELECT
    a.tenant,
    a.asset,
    a.bucket,
    a.balance_minor::text AS balance_minor
FROM tenants AS t
CROSS JOIN assets AS n
CROSS JOIN
    unnest(ARRAY['deposit_wallets', 'hot_wallet', 'cold_wallet', 'gas_wallet']) AS k (bucket)
INNER JOIN accounts AS a
    ON t.tenant = a.tenant AND a.owner = '' AND n.asset = a.asset AND k.bucket = a.bucket
WHERE n.network = :network::text
ORDER BY a.tenant, a.asset, a.bucket;

-- name: add_run$
-- Keep what a run found; its id is returned.
WITH run AS (
    INSERT INTO reconciliations (network, height, block_id, settled, figures, started_at)
    VALUES (
        :network::text, :height::bigint, :block_id::text, :settled::boolean, :figures::integer,
        :started_at::timestamptz
    )
    RETURNING run_id
),

found AS (
    INSERT INTO reconciliation_differences (
        run_id, scope, tenant, asset, account, expected_minor, actual_minor, detail
    )
    SELECT
        run.run_id,
        f.scope,
        f.tenant,
        f.asset,
        f.account,
        f.expected_minor::numeric,
        f.actual_minor::numeric,
        f.detail
    FROM
        run,
        unnest(
            :scopes::text [], :tenants::text [], :assets::text [], :accounts::text [],
            :expected_minors::text [], :actual_minors::text [], :details::text []
        ) AS f (scope, tenant, asset, account, expected_minor, actual_minor, detail)
)

SELECT run.run_id FROM run;

-- name: last_runs
-- The newest run of the books, which comes first, and of each network.
SELECT
    r.run_id,
    r.network,
    r.height,
    r.block_id,
    r.settled,
    r.figures,
    r.started_at,
    r.finished_at
FROM reconciliations AS r
WHERE
    r.run_id = any(ARRAY(
        SELECT (
            SELECT o.run_id FROM reconciliations AS o
            WHERE o.network = n.network AND (NOT :settled_only::boolean OR o.settled)
            ORDER BY o.run_id DESC
            LIMIT 1
        )
        FROM networks AS n
        UNION ALL
        (
            SELECT o.run_id FROM reconciliations AS o
            WHERE o.network IS NULL AND (NOT :settled_only::boolean OR o.settled)
            ORDER BY o.run_id DESC
            LIMIT 1
        )
    ))
ORDER BY r.network ASC NULLS FIRST;

-- name: run_differences
-- What these runs found.
SELECT
    f.run_id,
    f.scope,
    f.tenant,
    f.asset,
    f.account,
    f.expected_minor::text AS expected_minor,
    f.actual_minor::text AS actual_minor,
    f.detail
FROM reconciliation_differences AS f
WHERE f.run_id = any(:run_ids::bigint [])
ORDER BY f.run_id, f.scope, f.tenant, f.asset, f.account;
