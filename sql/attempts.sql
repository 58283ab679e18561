-- name: stuck_transactions
-- Withdrawals that need another transaction. What expires needs one once the final chain is beyond
-- that; what does not, when it waits for long: since it was first sent or, if later, since the nonce
-- before it was mined. Of nonces only a wallet's lowest open one counts. What was sent in the future,
-- since the clock was set back, has waited for long enough.
WITH latest AS (
    SELECT DISTINCT ON (t.withdrawal_id)
        t.withdrawal_id,
        t.sender,
        t.nonce,
        t.coin,
        (
            SELECT max(o.valid_until) FROM transactions AS o
            WHERE o.withdrawal_id = t.withdrawal_id
        ) AS valid_until, -- of any of its attempts, as one given up may still land
        t.first_sent_at,
        t.last_outcome
    FROM transactions AS t
    WHERE
        t.network = :network::text
        AND t.state IN ('signed', 'broadcast')
        AND NOT EXISTS (
            SELECT 1 FROM transactions AS o
            WHERE
                o.withdrawal_id = t.withdrawal_id
                -- Adopted: nobody knows what to outbid, or when it expires.
                AND (o.state = 'mined' OR o.unsigned = '')
        )
    ORDER BY t.withdrawal_id ASC, t.attempt DESC
),

waiting AS (
    SELECT
        latest.*,
        min(latest.nonce) OVER (PARTITION BY latest.sender) AS lowest_nonce
    FROM latest
    -- No fee helps against a nonce that is used.
    WHERE latest.last_outcome IS DISTINCT FROM 'nonce_used'
)

SELECT
    w.withdrawal_id,
    w.valid_until IS NOT NULL AS expired
FROM waiting AS w
LEFT JOIN LATERAL (
    SELECT t.mined_at
    FROM withdrawals AS b
    INNER JOIN transactions AS t ON b.withdrawal_id = t.withdrawal_id AND t.state = 'mined'
    WHERE
        b.network = :network::text
        AND b.sender = w.sender
        AND b.nonce = w.nonce - 1
        AND NOT b.nonce_released
    ORDER BY t.mined_at
    LIMIT 1 -- there is one at most; looked up for each, or all that were ever paid are read
) AS p ON TRUE
WHERE
    w.nonce IS NOT DISTINCT FROM w.lowest_nonce
    AND CASE
        WHEN w.valid_until IS NOT NULL THEN w.valid_until < :final_clock::bigint
        ELSE
            w.first_sent_at IS NOT NULL
            AND greatest(w.first_sent_at, p.mined_at)
            NOT BETWEEN now() - make_interval(secs => :after_s::double precision)
            AND now() + make_interval(secs => :after_s::double precision)
    END
    AND NOT EXISTS (SELECT 1 FROM needed_transactions AS n WHERE n.withdrawal_id = w.withdrawal_id)
ORDER BY w.withdrawal_id;

-- name: expire_transactions!
-- Attempts at these withdrawals that the final chain is beyond.
UPDATE transactions SET state = 'expired'
WHERE
    withdrawal_id = any(:withdrawal_ids::bigint [])
    AND state IN ('signed', 'broadcast')
    AND valid_until < :final_clock::bigint;

-- name: unguarded_attempts
-- Bytes of all transactions of these withdrawals that share neither nonce nor coin with the next:
-- nothing but their expiry keeps them from landing beside it.
SELECT
    t.withdrawal_id,
    t.transaction_id,
    t.raw
FROM transactions AS t
WHERE
    t.withdrawal_id = any(:withdrawal_ids::bigint [])
    AND t.nonce IS NULL
    AND t.coins = '{}'
ORDER BY t.withdrawal_id, t.attempt;

-- name: latest_attempts
-- The latest transaction of each of these withdrawals, unless one of them is mined.
SELECT DISTINCT ON (t.withdrawal_id)
    t.withdrawal_id,
    t.transaction_id,
    t.attempt,
    t.unsigned
FROM transactions AS t
WHERE
    t.withdrawal_id = any(:withdrawal_ids::bigint [])
    AND NOT EXISTS (
        SELECT 1 FROM transactions AS o
        WHERE o.withdrawal_id = t.withdrawal_id AND o.state = 'mined'
    )
ORDER BY t.withdrawal_id ASC, t.attempt DESC;
