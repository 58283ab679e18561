-- name: measure_networks
-- How far each network is followed, heights being NULL where it never was, its halted wallets, and
-- since when it knows of the deposit that is due for longest: one look, however many there are.
SELECT
    n.network,
    c.node_height,
    c.height,
    c.matched_height,
    c.halted_reason IS NOT NULL AS halted,
    count(w.sender) AS wallets_halted,
    coalesce(extract(EPOCH FROM now() - (
        SELECT d.detected_at
        FROM waiting_deposits AS q
        INNER JOIN deposits AS d ON q.deposit_id = d.deposit_id
        WHERE q.network = n.network AND q.confirm_height <= c.height
        ORDER BY q.confirm_height, q.deposit_id
        LIMIT 1
    )), 0)::double precision AS oldest_due_s
FROM networks AS n
LEFT JOIN cursors AS c ON n.network = c.network
LEFT JOIN nonces AS w ON n.network = w.network AND w.halted_reason IS NOT NULL
GROUP BY n.network, c.network
ORDER BY n.network;

-- name: measure_withdrawals
-- Open withdrawals by network, status and what approved ones wait for, and how long the oldest has been
-- in that status.
SELECT
    w.network,
    w.status,
    w.waits_for,
    count(*) AS withdrawals,
    extract(EPOCH FROM now() - min(w.updated_at))::double precision AS oldest_s
FROM withdrawals AS w
WHERE w.status IN ('awaiting_approval', 'approved', 'signed', 'broadcast')
GROUP BY w.network, w.status, w.waits_for
ORDER BY w.network, w.status, w.waits_for;

-- name: measure_hot_wallets
-- What each hot wallet holds by the ledger, and what is to be paid from it.
WITH due AS (
    SELECT
        w.tenant,
        w.asset,
        sum(w.amount_minor) AS open_minor
    FROM withdrawals AS w
    WHERE w.status IN ('approved', 'signed', 'broadcast')
    GROUP BY w.tenant, w.asset
)

SELECT
    h.tenant,
    h.network,
    a.asset,
    h.address,
    coalesce(b.balance_minor, 0)::text AS balance_minor,
    coalesce(due.open_minor, 0)::text AS open_minor
FROM addresses AS h
INNER JOIN assets AS a ON h.network = a.network
LEFT JOIN accounts AS b
    ON h.tenant = b.tenant AND b.owner = '' AND a.asset = b.asset AND b.bucket = 'hot_wallet'
LEFT JOIN due ON h.tenant = due.tenant AND a.asset = due.asset
WHERE h.purpose = 'hot'
ORDER BY h.tenant, a.asset;

-- name: measure_assets
-- Every asset, its network and its decimals.
SELECT
    asset,
    network,
    decimals
FROM assets
ORDER BY asset;

-- name: count_frozen$
-- Accounts that are frozen and owe; those an operator froze for another reason are left out.
SELECT count(*)
FROM accounts AS a
INNER JOIN accounts AS d
    ON
        a.tenant = d.tenant AND a.owner = d.owner
        AND a.asset = d.asset AND d.bucket = 'receivable' AND d.balance_minor > 0
WHERE a.frozen_at IS NOT NULL;

-- name: measure_reconciliations
-- What the newest settled run of each network and of the books (network NULL) found: differences by
-- scope and asset, one row with NULLs if there was none.
WITH newest AS (
    SELECT
        r.run_id,
        r.network,
        r.finished_at
    FROM networks AS n
    CROSS JOIN LATERAL (
        SELECT o.* FROM reconciliations AS o
        WHERE o.network = n.network AND o.settled
        ORDER BY o.run_id DESC
        LIMIT 1
    ) AS r
    UNION ALL
    (
        SELECT
            o.run_id,
            o.network,
            o.finished_at
        FROM reconciliations AS o
        WHERE o.network IS NULL AND o.settled
        ORDER BY o.run_id DESC
        LIMIT 1
    )
)

SELECT
    newest.network,
    extract(EPOCH FROM newest.finished_at)::double precision AS finished_at_s,
    f.scope,
    f.asset,
    count(f.run_id) AS differences
FROM newest
LEFT JOIN reconciliation_differences AS f ON newest.run_id = f.run_id
GROUP BY newest.network, newest.finished_at, f.scope, f.asset;
