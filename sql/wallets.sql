-- name: lock_nonces
-- Take the counters of these wallets for this transaction, in one order. A new one starts as the caller
-- says; on a chain without nonces it counts nothing and is only a lock.
INSERT INTO nonces AS n (network, sender, next_nonce)
SELECT
    :network::text,
    s.sender,
    s.next_nonce
FROM unnest(:senders::text [], :next_nonces::bigint []) AS s (sender, next_nonce)
ORDER BY s.sender
ON CONFLICT (network, sender) DO UPDATE SET next_nonce = n.next_nonce
RETURNING sender, next_nonce, halted_reason, prepared_nonce, prepared_until;

-- name: take_prepared_nonce!
-- Give a wallet's nonce to a transaction that prepares it. One before that had it may land as well.
UPDATE nonces AS n SET
    next_nonce = greatest(n.next_nonce, :nonce::bigint + 1),
    prepared_nonce = :nonce::bigint,
    prepared_until = CASE
        WHEN n.prepared_nonce IS DISTINCT FROM :nonce::bigint THEN :valid_until::bigint
        WHEN :valid_until::bigint IS NOT NULL THEN greatest(n.prepared_until, :valid_until::bigint)
    END
WHERE n.network = :network::text AND n.sender = :sender::text;

-- name: advance_nonces!
-- Remember which nonces were given out.
UPDATE nonces AS n SET next_nonce = s.next_nonce
FROM unnest(:senders::text [], :next_nonces::bigint []) AS s (sender, next_nonce)
WHERE n.network = :network::text AND n.sender = s.sender;

-- name: count_in_flight
-- How many payments of these wallets wait for a block.
SELECT
    w.sender,
    count(*) AS payments
FROM withdrawals AS w
WHERE
    w.network = :network::text
    AND w.status IN ('signed', 'broadcast')
    AND w.sender = any(:senders::text [])
    AND NOT EXISTS (
        SELECT 1 FROM transactions AS t
        WHERE t.withdrawal_id = w.withdrawal_id AND t.state = 'mined'
    )
GROUP BY w.sender;

-- name: halt_wallet!
-- Sign nothing more from this wallet until it is resumed. What the chain expects next is kept; NULL
-- if it is not known to be ahead of us. So is which transactions that are not ours were seen by now.
UPDATE nonces AS n SET
    halted_reason = :reason::text,
    chain_nonce = :chain_nonce::bigint,
    foreign_seen = (
        SELECT max(f.foreign_id) FROM foreign_transactions AS f
        WHERE f.network = n.network AND f.address = n.sender
    )
WHERE n.network = :network::text AND n.sender = :sender::text AND n.halted_reason IS NULL;

-- name: resume_wallet$
-- Sign from a halted wallet again, behind the nonces that were found used when it was halted. What was
-- seen by then is accounted for, and nothing that was seen since.
UPDATE nonces AS n SET
    halted_reason = NULL,
    next_nonce = greatest(n.next_nonce, n.chain_nonce),
    chain_nonce = NULL,
    foreign_known = greatest(n.foreign_known, n.foreign_seen),
    foreign_seen = NULL
FROM addresses AS h
WHERE
    h.tenant = :tenant::text AND h.network = :network::text AND h.purpose = 'hot'
    AND n.network = h.network AND n.sender = h.address
    AND n.halted_reason IS NOT NULL
RETURNING true;

-- name: note_foreign!
-- Remember transactions that hot wallets paid for and that are not ours, but not where nonces count them.
INSERT INTO foreign_transactions (network, transaction_id, address, height)
SELECT
    :network::text,
    t.transaction_id,
    t.address,
    t.height
FROM
    unnest(:transaction_ids::text [], :addresses::text [], :heights::bigint [])
    WITH ORDINALITY AS t (transaction_id, address, height, position)
WHERE
    NOT EXISTS (
        SELECT 1 FROM nonces AS n
        WHERE n.network = :network::text AND n.sender = t.address AND n.next_nonce IS NOT NULL
    )
ORDER BY t.position
ON CONFLICT (network, transaction_id) DO NOTHING;

-- name: unaccounted_transactions
-- Of those of these wallets that are without nonces, and that nobody has accounted for: how many there
-- are, the newest, and how many blocks are on top of the oldest. Since it was seen, one may have been taken
-- for the payment of an order. The caller has locked the wallets.
SELECT
    f.address AS sender,
    count(*) AS transactions,
    (array_agg(f.transaction_id ORDER BY f.foreign_id DESC))[1] AS newest,
    (array_agg(f.height ORDER BY f.foreign_id DESC))[1] AS height,
    c.height - min(f.height) AS depth
FROM nonces AS n
INNER JOIN cursors AS c ON n.network = c.network
INNER JOIN foreign_transactions AS f
    ON n.network = f.network AND n.sender = f.address AND n.foreign_known < f.foreign_id
WHERE
    n.network = :network::text
    AND n.sender = any(:senders::text [])
    AND n.next_nonce IS NULL
    AND NOT EXISTS (
        SELECT 1 FROM transactions AS t
        WHERE t.network = f.network AND t.transaction_id = f.transaction_id
    )
GROUP BY f.address, c.height;

-- name: unfunded_wallets
-- Those of these wallets to which no block has brought anything, as far as blocks were searched for them.
SELECT s.sender
FROM unnest(:senders::text []) AS s (sender)
WHERE
    NOT EXISTS (
        SELECT 1 FROM deposits AS d
        WHERE
            d.network = :network::text
            AND d.address = s.sender
            AND d.purpose = 'hot'
            AND NOT d.claimed -- none is where money is not held as coins; so the index is of use
    );

-- name: list_wallets
-- The hot wallets, with their nonces, what waits in them and, where there are no nonces, transactions that
-- are not ours and nobody has accounted for: all, or a tenant's, or a network's.
WITH waiting AS (
    SELECT
        w.network,
        w.tenant,
        w.withdrawal_id,
        w.idempotency_key,
        w.status = 'approved' AS is_approved,
        w.status <> 'approved'
        AND NOT EXISTS (
            SELECT 1 FROM transactions AS t
            WHERE
                t.withdrawal_id = w.withdrawal_id
                AND (t.state = 'mined' OR t.last_outcome IS DISTINCT FROM 'nonce_used')
        ) AS is_nonce_used
    FROM withdrawals AS w
    WHERE w.status IN ('approved', 'signed', 'broadcast')
)

SELECT
    h.network,
    h.tenant,
    h.address,
    n.next_nonce,
    n.halted_reason,
    n.chain_nonce,
    count(*) FILTER (WHERE w.is_approved) AS approved,
    count(*) FILTER (WHERE NOT w.is_approved) AS sent,
    coalesce(
        array_agg(w.idempotency_key ORDER BY w.withdrawal_id) FILTER (WHERE w.is_nonce_used), '{}'
    ) AS nonce_used,
    ARRAY(
        SELECT f.transaction_id FROM foreign_transactions AS f
        WHERE
            f.network = n.network
            AND f.address = n.sender
            AND f.foreign_id > n.foreign_known
            AND n.next_nonce IS NULL
            AND NOT EXISTS (
                SELECT 1 FROM transactions AS t
                WHERE t.network = f.network AND t.transaction_id = f.transaction_id
            )
        ORDER BY f.foreign_id
    ) AS not_ours
FROM addresses AS h
LEFT JOIN nonces AS n ON h.network = n.network AND h.address = n.sender
LEFT JOIN waiting AS w ON h.network = w.network AND h.tenant = w.tenant
WHERE
    h.purpose = 'hot'
    AND (:tenant::text IS NULL OR h.tenant = :tenant::text)
    AND (:network::text IS NULL OR h.network = :network::text)
GROUP BY h.network, h.address, n.network, n.sender
ORDER BY h.network, h.tenant;

-- name: foreign_nonces
-- Which of these withdrawals cannot land any more: every attempt was answered with a used nonce, and
-- none is in a block.
SELECT
    w.withdrawal_id,
    w.sender,
    w.nonce
FROM withdrawals AS w
WHERE
    w.withdrawal_id = any(:withdrawal_ids::bigint [])
    AND w.status IN ('signed', 'broadcast')
    AND NOT EXISTS (
        SELECT 1 FROM transactions AS t
        WHERE
            t.withdrawal_id = w.withdrawal_id
            AND (t.state = 'mined' OR t.last_outcome IS DISTINCT FROM 'nonce_used')
    )
ORDER BY w.withdrawal_id;

-- name: open_payments
-- The payments of these wallets that wait for a block.
SELECT w.withdrawal_id
FROM withdrawals AS w
WHERE
    w.network = :network::text
    AND w.status IN ('signed', 'broadcast')
    AND w.sender = any(:senders::text [])
    AND NOT EXISTS (
        SELECT 1 FROM transactions AS t
        WHERE t.withdrawal_id = w.withdrawal_id AND t.state = 'mined'
    );

-- name: promised_amounts
-- What signed payments of these wallets may still take out of them, by asset and the network's fee,
-- which has no contract, those among them that were open before and are not any more. Of several
-- attempts at one the dearest counts.
WITH open_payments AS (
    SELECT
        w.sender,
        a.contract,
        w.amount_minor,
        (
            SELECT max(t.fee_minor_max) FROM transactions AS t
            WHERE t.withdrawal_id = w.withdrawal_id
        ) AS fee_minor
    FROM withdrawals AS w
    INNER JOIN assets AS a ON w.asset = a.asset
    WHERE
        w.network = :network::text
        AND w.sender = any(:senders::text [])
        AND (
            w.withdrawal_id = any(:open_before::bigint [])
            OR (
                w.status IN ('signed', 'broadcast')
                AND NOT EXISTS (
                    SELECT 1 FROM transactions AS t
                    WHERE t.withdrawal_id = w.withdrawal_id AND t.state = 'mined'
                )
            )
        )
)

SELECT
    o.sender,
    o.contract,
    sum(o.amount_minor)::text AS amount_minor
FROM (
    SELECT
        sender,
        contract,
        amount_minor
    FROM open_payments
    UNION ALL
    SELECT
        sender,
        NULL AS contract,
        fee_minor
    FROM open_payments
) AS o
GROUP BY o.sender, o.contract;

-- name: release_nonce!
-- Give the nonce of a withdrawal whose transactions expired to the next one. There is no later one.
WITH released AS (
    UPDATE withdrawals SET nonce_released = true
    WHERE withdrawal_id = :withdrawal_id::bigint AND status = 'failed' AND nonce IS NOT NULL
    RETURNING network, sender, nonce
)

UPDATE nonces AS n SET next_nonce = r.nonce
FROM released AS r
WHERE n.network = r.network AND n.sender = r.sender AND n.next_nonce = r.nonce + 1;
