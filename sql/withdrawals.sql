-- name: withdrawal_policies
-- Every asset's rules for withdrawals, and its network's.
SELECT
    a.asset,
    a.network,
    a.contract,
    n.native_asset,
    n.confirmations,
    n.finality,
    a.confirmations_by_amount,
    a.withdrawal_minor_min::text AS minor_min,
    a.withdrawal_minor_max::text AS minor_max,
    a.withdrawal_minor_max_day::text AS minor_max_day,
    a.withdrawal_count_max_hour AS count_max_hour,
    a.withdrawal_approval_minor::text AS approval_minor,
    a.withdrawal_fee_minor::text AS fee_minor
FROM assets AS a
INNER JOIN networks AS n ON a.network = n.network;

-- name: tenant_statuses
-- The status of these tenants.
SELECT
    tenant,
    status
FROM tenants
WHERE tenant = any(:tenants::text []);

-- name: lock_users
-- Let nobody else judge orders of these users before this transaction ends, so that limits are judged
-- one by one. Not by their rows: who has money of others has none. In one order; that two users may
-- share a lock does no harm.
SELECT pg_advisory_xact_lock(u.tenant, u.owner)
FROM (
    SELECT DISTINCT
        hashtext(o.tenant) AS tenant,
        hashtext(o.owner) AS owner
    FROM unnest(:tenants::text [], :owners::text []) AS o (tenant, owner)
    ORDER BY tenant, owner
) AS u;

-- name: ordered_before
-- Which of these orders are there already, and what they said.
SELECT
    w.tenant,
    w.idempotency_key,
    w.request_hash
FROM withdrawals AS w
INNER JOIN unnest(:tenants::text [], :idempotency_keys::text []) AS o (tenant, idempotency_key)
    ON w.tenant = o.tenant AND w.idempotency_key = o.idempotency_key;

-- name: withdrawal_history
-- What these users ordered of these assets in the last day and hour, refused and failed not counted. Of
-- those that failed in a block the amount is not: it is back. Their number is: each cost a fee, and who
-- is paid may have chosen that.
SELECT
    w.tenant,
    w.owner,
    w.asset,
    coalesce(sum(w.amount_minor) FILTER (WHERE w.status <> 'failed'), 0)::text AS day_minor,
    count(*) FILTER (WHERE w.created_at > now() - interval '1 hour') AS hour_count
FROM withdrawals AS w
INNER JOIN
    unnest(:tenants::text [], :owners::text [], :assets::text []) AS o (tenant, owner, asset)
    ON w.tenant = o.tenant AND w.owner = o.owner AND w.asset = o.asset
WHERE
    w.created_at > now() - interval '24 hours'
    AND (w.status NOT IN ('rejected', 'failed') OR w.reason = 'failed_on_chain')
GROUP BY w.tenant, w.owner, w.asset;

-- name: add_withdrawals
-- Write orders as requested, in this order; those that are there already are left alone.
INSERT INTO withdrawals (
    tenant, idempotency_key, request_hash, owner, asset, network, address, memo, amount_minor,
    fee_minor
)
SELECT
    o.tenant,
    o.idempotency_key,
    o.request_hash,
    o.owner,
    o.asset,
    o.network,
    o.address,
    o.memo,
    o.amount_minor::numeric,
    o.fee_minor::numeric
FROM
    unnest(
        :tenants::text [], :idempotency_keys::text [], :request_hashes::bytea [],
        :owners::text [], :assets::text [], :networks::text [], :addresses::text [],
        :memos::text [], :amounts_minor::text [], :fees_minor::text []
    ) WITH ORDINALITY AS o (
        tenant, idempotency_key, request_hash, owner, asset, network, address, memo,
        amount_minor, fee_minor, position
    )
ORDER BY o.position
ON CONFLICT (tenant, idempotency_key) DO NOTHING
RETURNING
    withdrawal_id, tenant, idempotency_key, owner, asset, network, address, memo,
    amount_minor::text AS amount_minor, fee_minor::text AS fee_minor, status, reason, detail,
    revision, decided_by, sender, nonce, created_at, updated_at;

-- name: move_withdrawals
-- Take withdrawals from one status to another; those that have left it already are left alone.
UPDATE withdrawals AS w SET
    status = m.status,
    reason = m.reason,
    detail = m.detail,
    decided_by = coalesce(w.decided_by, m.decided_by)
FROM
    unnest(
        :withdrawal_ids::bigint [], :statuses::text [], :reasons::text [], :details::text [],
        :decided_bys::text []
    ) AS m (withdrawal_id, status, reason, detail, decided_by)
WHERE w.withdrawal_id = m.withdrawal_id AND w.status = :from_status::text
RETURNING
    w.withdrawal_id, w.tenant, w.idempotency_key, w.owner, w.asset, w.network, w.address, w.memo,
    w.amount_minor::text AS amount_minor, w.fee_minor::text AS fee_minor, w.status, w.reason,
    w.detail, w.revision, w.decided_by, w.sender, w.nonce, w.created_at, w.updated_at;

-- name: lock_withdrawals
-- Take those of these withdrawals that have this status, for this transaction, in order.
SELECT
    w.withdrawal_id,
    w.tenant,
    w.idempotency_key,
    w.owner,
    w.asset,
    w.network,
    w.address,
    w.memo,
    w.amount_minor::text AS amount_minor,
    w.fee_minor::text AS fee_minor,
    w.status,
    w.reason,
    w.detail,
    w.revision,
    w.decided_by,
    w.sender,
    w.nonce,
    w.created_at,
    w.updated_at
FROM withdrawals AS w
WHERE w.withdrawal_id = any(:withdrawal_ids::bigint []) AND w.status = any(:statuses::text [])
ORDER BY w.withdrawal_id
FOR UPDATE;

-- name: signing_bars
-- What forbids at this moment to sign those of these withdrawals that are approved; NULL: nothing does.
SELECT
    w.withdrawal_id,
    CASE
        WHEN t.status <> 'active' THEN 'tenant_suspended'
        WHEN EXISTS (
            SELECT 1 FROM accounts AS a
            WHERE
                a.tenant = w.tenant AND a.owner = w.owner AND a.asset = w.asset
                AND a.bucket = 'available' AND a.frozen_at IS NOT NULL
        ) THEN 'account_frozen'
        WHEN EXISTS (
            SELECT 1 FROM cursors AS c
            WHERE c.network = w.network AND c.halted_reason IS NOT NULL
        ) THEN 'network_halted'
    END AS bar
FROM withdrawals AS w
INNER JOIN tenants AS t ON w.tenant = t.tenant
WHERE w.withdrawal_id = any(:withdrawal_ids::bigint []) AND w.status = 'approved';

-- name: note_waits
-- Remember what those of these withdrawals that are still approved wait for; which had no such note. The
-- caller has locked them.
UPDATE withdrawals AS w SET waits_for = n.waits_for
FROM unnest(:withdrawal_ids::bigint [], :reasons::text []) AS n (withdrawal_id, waits_for)
WHERE
    w.withdrawal_id = n.withdrawal_id
    AND w.status = 'approved'
    AND w.waits_for IS DISTINCT FROM n.waits_for
RETURNING w.withdrawal_id;

-- name: await_signing
-- Wait for whoever signs approved withdrawals of a tenant, or of one owner in one asset. Who takes them
-- after this looks anew whether they may be paid.
SELECT w.withdrawal_id
FROM withdrawals AS w
WHERE
    w.tenant = :tenant::text
    AND (:owner::text IS NULL OR (w.owner = :owner::text AND w.asset = :asset::text))
    AND w.status = 'approved'
ORDER BY w.withdrawal_id
FOR SHARE;

-- name: list_obstacles
-- What stands between these approved withdrawals and their signature, as far as the database knows.
-- free_minor is what the hot wallet holds by the books beside payments that are signed already.
WITH promised AS (
    SELECT
        w.tenant,
        w.asset,
        sum(w.amount_minor) AS amount_minor
    FROM withdrawals AS w
    WHERE w.status IN ('signed', 'broadcast')
    GROUP BY w.tenant, w.asset
)

SELECT
    w.withdrawal_id,
    t.status AS tenant_status,
    o.frozen_reason,
    c.halted_reason AS network_halted,
    h.address AS wallet,
    n.halted_reason AS wallet_halted,
    w.waits_for,
    (coalesce(b.balance_minor, 0) - coalesce(p.amount_minor, 0))::text AS free_minor
FROM withdrawals AS w
INNER JOIN tenants AS t ON w.tenant = t.tenant
LEFT JOIN accounts AS o
    ON
        w.tenant = o.tenant AND w.owner = o.owner
        AND w.asset = o.asset AND o.bucket = 'available'
LEFT JOIN cursors AS c ON w.network = c.network
LEFT JOIN addresses AS h ON w.tenant = h.tenant AND w.network = h.network AND h.purpose = 'hot'
LEFT JOIN nonces AS n ON h.network = n.network AND h.address = n.sender
LEFT JOIN accounts AS b
    ON w.tenant = b.tenant AND b.owner = '' AND w.asset = b.asset AND b.bucket = 'hot_wallet'
LEFT JOIN promised AS p ON w.tenant = p.tenant AND w.asset = p.asset
WHERE w.withdrawal_id = any(:withdrawal_ids::bigint []) AND w.status = 'approved';

-- name: find_withdrawal^
-- A withdrawal by its producer's id.
SELECT
    w.withdrawal_id,
    w.tenant,
    w.idempotency_key,
    w.owner,
    w.asset,
    w.network,
    w.address,
    w.memo,
    w.amount_minor::text AS amount_minor,
    w.fee_minor::text AS fee_minor,
    w.status,
    w.reason,
    w.detail,
    w.revision,
    w.decided_by,
    w.sender,
    w.nonce,
    w.created_at,
    w.updated_at
FROM withdrawals AS w
WHERE w.tenant = :tenant::text AND w.idempotency_key = :idempotency_key::text;

-- name: list_withdrawals
-- Withdrawals, newest first, optionally of one tenant, owner or status.
SELECT
    w.withdrawal_id,
    w.tenant,
    w.idempotency_key,
    w.owner,
    w.asset,
    w.network,
    w.address,
    w.memo,
    w.amount_minor::text AS amount_minor,
    w.fee_minor::text AS fee_minor,
    w.status,
    w.reason,
    w.detail,
    w.revision,
    w.decided_by,
    w.sender,
    w.nonce,
    w.created_at,
    w.updated_at
FROM withdrawals AS w
WHERE
    (:tenant::text IS NULL OR w.tenant = :tenant::text)
    AND (:owner::text IS NULL OR w.owner = :owner::text)
    AND (:status::text IS NULL OR w.status = :status::text)
ORDER BY w.withdrawal_id DESC
LIMIT :limit_rows::integer;

-- name: stale_approvals
-- Withdrawals approved a while ago and not signed: their record was lost, or they could not be paid.
SELECT w.withdrawal_id
FROM withdrawals AS w
WHERE
    w.network = :network::text
    AND w.status = 'approved'
    AND w.updated_at NOT BETWEEN now() - make_interval(secs => :after_s::double precision)
    AND now() + make_interval(secs => :after_s::double precision) -- before the clock was set back
    AND w.withdrawal_id > :after_id::bigint
ORDER BY w.withdrawal_id
LIMIT :limit_rows::integer;
