-- name: read_payments
-- What the signer needs to pay those of these withdrawals that have one of these statuses. No wallet: the
-- tenant has none yet.
SELECT
    w.withdrawal_id,
    w.tenant,
    w.asset,
    w.address,
    w.amount_minor::text AS amount_minor,
    w.memo,
    a.contract,
    h.address AS sender,
    h.key_path,
    k.public_key,
    s.halted_reason
FROM withdrawals AS w
INNER JOIN assets AS a ON w.asset = a.asset
LEFT JOIN addresses AS h
    ON w.tenant = h.tenant AND w.network = h.network AND h.purpose = 'hot'
LEFT JOIN key_pool AS k ON h.network = k.network AND k.branch = 1 AND h.key_path = k.key_path
LEFT JOIN nonces AS s ON h.network = s.network AND h.address = s.sender
WHERE
    w.network = :network::text
    AND w.status = any(:statuses::text [])
    AND w.withdrawal_id = any(:withdrawal_ids::bigint [])
ORDER BY w.withdrawal_id;

-- name: sign_withdrawals
-- Give withdrawals their sender and nonce or coin, once and for ever.
UPDATE withdrawals AS w SET
    status = 'signed',
    sender = s.sender,
    nonce = s.nonce,
    coin = s.coin
FROM
    unnest(:withdrawal_ids::bigint [], :senders::text [], :nonces::bigint [], :coins::text [])
        AS s (withdrawal_id, sender, nonce, coin)
WHERE w.withdrawal_id = s.withdrawal_id AND w.status = 'approved'
RETURNING
    w.withdrawal_id, w.tenant, w.idempotency_key, w.owner, w.asset, w.network, w.address, w.memo,
    w.amount_minor::text AS amount_minor, w.fee_minor::text AS fee_minor, w.status, w.reason,
    w.detail, w.revision, w.decided_by, w.sender, w.nonce, w.created_at, w.updated_at;

-- name: add_transactions!
-- Store signed transactions before anything is sent.
INSERT INTO transactions (
    network, transaction_id, withdrawal_id, sender, nonce, coin, coins, valid_until, attempt,
    unsigned, raw, fee_minor_max
)
SELECT
    :network::text,
    t.transaction_id,
    t.withdrawal_id,
    t.sender,
    t.nonce,
    t.coin,
    string_to_array(t.coins, ' '),
    t.valid_until,
    t.attempt,
    t.unsigned,
    t.raw,
    t.fee_minor_max::numeric
FROM
    unnest(
        :transaction_ids::text [], :withdrawal_ids::bigint [], :senders::text [],
        :nonces::bigint [], :anchors::text [], :coins::text [], :valid_untils::bigint [],
        :attempts::integer [], :unsigned::bytea [], :raws::bytea [], :fees_minor_max::text []
    ) AS t (
        transaction_id, withdrawal_id, sender, nonce, coin, coins, valid_until, attempt, unsigned,
        raw, fee_minor_max
    );

-- name: sendable_transactions
-- Bytes of those of these transactions that are not in a block and not overtaken.
SELECT
    t.transaction_id,
    t.raw
FROM transactions AS t
WHERE
    t.network = :network::text
    AND t.transaction_id = any(:transaction_ids::text [])
    AND t.state IN ('signed', 'broadcast')
    AND (
        EXISTS (
            SELECT 1 FROM needed_transactions AS n
            WHERE n.withdrawal_id = t.withdrawal_id AND n.transaction_id = t.transaction_id
        )
        OR NOT EXISTS (
            SELECT 1 FROM needed_transactions AS n WHERE n.withdrawal_id = t.withdrawal_id
        )
    )
ORDER BY t.sender, t.nonce, t.attempt;

-- name: unseen_transactions
-- Bytes of transactions that no block has shown for a while since they were last sent, or that were
-- sent in the future: the clock was set back since. An adopted one may have none.
SELECT
    t.transaction_id,
    t.raw
FROM transactions AS t
WHERE
    t.network = :network::text
    AND t.state IN ('signed', 'broadcast')
    AND t.raw <> ''
    AND coalesce(t.last_sent_at, t.created_at)
    NOT BETWEEN now() - make_interval(secs => :after_s::double precision)
    AND now() + make_interval(secs => :after_s::double precision)
    AND NOT EXISTS (
        SELECT 1 FROM transactions AS o
        WHERE o.withdrawal_id = t.withdrawal_id AND o.state = 'mined'
    )
    AND (
        EXISTS (
            SELECT 1 FROM needed_transactions AS n
            WHERE n.withdrawal_id = t.withdrawal_id AND n.transaction_id = t.transaction_id
        )
        OR NOT EXISTS (
            SELECT 1 FROM needed_transactions AS n WHERE n.withdrawal_id = t.withdrawal_id
        )
    )
ORDER BY t.sender, t.nonce, t.attempt
LIMIT :limit_rows::integer;

-- name: record_broadcasts
-- Remember what nodes said of transactions. Their withdrawals are locked before them, as by everybody.
WITH held AS (
    SELECT
        w.withdrawal_id,
        b.transaction_id,
        b.outcome,
        b.detail
    FROM
        unnest(:transaction_ids::text [], :outcomes::text [], :details::text [])
            AS b (transaction_id, outcome, detail)
    INNER JOIN transactions AS s
        ON s.network = :network::text AND b.transaction_id = s.transaction_id
    INNER JOIN withdrawals AS w ON s.withdrawal_id = w.withdrawal_id
    ORDER BY w.withdrawal_id
    FOR NO KEY UPDATE OF w
)

UPDATE transactions AS t SET
    state = CASE
        WHEN t.state = 'signed' AND b.outcome = 'accepted' THEN 'broadcast' ELSE t.state
    END,
    last_outcome = b.outcome,
    last_detail = b.detail,
    first_sent_at = coalesce(t.first_sent_at, now()),
    last_sent_at = now()
FROM held AS b
WHERE t.network = :network::text AND t.transaction_id = b.transaction_id
RETURNING
    t.transaction_id,
    t.withdrawal_id,
    b.outcome;

-- name: unmine_transactions
-- Put back in the queue what was mined in blocks that left the best chain. Blocks older than all we
-- remember are beyond any reorganisation we allow. A reorganisation sets settled_height back to where it
-- began, and whoever was at blocks that it removed may set it forward again by no more than those: so
-- below that nothing has to be looked at, however much was mined in blocks we remember. ARRAY and
-- count(): looked up one by one, or all blocks and all that was ever paid are read.
WITH gone AS (
    SELECT
        t.transaction_id,
        t.height,
        t.block_id,
        t.fee_minor
    FROM transactions AS t
    WHERE
        t.network = :network::text
        AND t.state = 'mined'
        AND t.height >= (SELECT min(b.height) FROM blocks AS b WHERE b.network = :network::text)
        AND t.height >= (
            SELECT coalesce(c.settled_height, 0) - :reorg_depth_max::bigint
            FROM cursors AS c
            WHERE c.network = :network::text
        )
        AND 0 = (
            SELECT count(*) FROM blocks AS b
            WHERE b.network = t.network AND b.height = t.height AND b.block_id = t.block_id
        )
    ORDER BY t.transaction_id
    FOR UPDATE
)

UPDATE transactions AS t SET
    state = 'broadcast',
    height = NULL,
    block_id = NULL,
    succeeded = NULL,
    fee_minor = NULL,
    confirm_height = NULL,
    mined_at = NULL
FROM gone
WHERE
    t.network = :network::text
    AND t.transaction_id = any(ARRAY(SELECT g.transaction_id FROM gone AS g))
    AND t.transaction_id = gone.transaction_id
RETURNING
    t.withdrawal_id, t.transaction_id, gone.height, gone.block_id,
    gone.fee_minor::text AS network_fee_minor;

-- name: unsettle_withdrawals
-- Open again those of these withdrawals that were settled; the next settling has the next revision.
UPDATE withdrawals AS w SET
    status = 'broadcast',
    reason = NULL,
    detail = NULL,
    revision = w.revision + 1
WHERE
    w.withdrawal_id = any(:withdrawal_ids::bigint [])
    AND w.status IN ('confirmed', 'failed')
RETURNING
    w.withdrawal_id, w.tenant, w.idempotency_key, w.owner, w.asset, w.network, w.address, w.memo,
    w.amount_minor::text AS amount_minor, w.fee_minor::text AS fee_minor, w.status, w.reason,
    w.detail, w.revision, w.decided_by, w.sender, w.nonce, w.created_at, w.updated_at;

-- name: revive_attempts!
-- The other attempts at these withdrawals may land again: one of them, as they share nonce or coin.
UPDATE transactions SET state = 'broadcast'
WHERE
    withdrawal_id = any(:withdrawal_ids::bigint [])
    AND state = 'superseded'
    AND (nonce IS NOT NULL OR coins <> '{}');

-- name: has_open_transactions$
-- Whether any transaction of the network may yet be mined, be it given up.
SELECT exists(
    SELECT 1 FROM transactions
    WHERE network = :network::text AND state <> 'mined'
);

-- name: lock_landing
-- Take the withdrawals of those of these transactions that are ours and not in a block yet: who gives
-- one of them up has done so before, or waits and sees it paid.
SELECT w.withdrawal_id
FROM withdrawals AS w
WHERE
    w.withdrawal_id IN (
        SELECT t.withdrawal_id FROM transactions AS t
        WHERE
            t.network = :network::text
            AND t.transaction_id = any(:transaction_ids::text [])
            AND t.state <> 'mined'
    )
ORDER BY w.withdrawal_id
FOR NO KEY UPDATE OF w;

-- name: open_transactions
-- Which of these transactions are ours and not in a block yet; in that order blocks decide on them.
SELECT
    t.transaction_id,
    t.withdrawal_id,
    w.idempotency_key,
    t.sender,
    w.asset,
    w.amount_minor::text AS amount_minor,
    w.status = 'failed' AS given_up,
    w.nonce_released,
    exists(
        SELECT 1 FROM transactions AS o
        WHERE o.withdrawal_id = t.withdrawal_id AND o.state = 'mined'
    ) AS is_paid
FROM transactions AS t
INNER JOIN withdrawals AS w ON t.withdrawal_id = w.withdrawal_id
WHERE
    t.network = :network::text
    AND t.transaction_id = any(:transaction_ids::text [])
    AND t.state <> 'mined'
ORDER BY t.withdrawal_id, t.attempt;

-- name: supersede_rivals!
-- Attempts beside these that share neither nonce nor coin with them: the chain would take both.
UPDATE transactions AS t SET state = 'superseded'
FROM transactions AS landed
WHERE
    landed.network = :network::text
    AND landed.transaction_id = any(:transaction_ids::text [])
    AND t.withdrawal_id = landed.withdrawal_id
    AND t.transaction_id <> landed.transaction_id
    AND t.state IN ('signed', 'broadcast')
    AND t.nonce IS NULL
    AND t.coins = '{}';

-- name: mine_transactions!
-- Transactions of ours are in blocks. A fee that the node does not tell is what we signed for.
UPDATE transactions AS t SET
    state = 'mined',
    height = m.height,
    block_id = m.block_id,
    succeeded = m.succeeded,
    fee_minor = coalesce(m.fee_minor::numeric, t.fee_minor_max),
    confirm_height = m.confirm_height,
    mined_at = now()
FROM
    unnest(
        :transaction_ids::text [], :heights::bigint [], :block_ids::text [],
        :succeeded::boolean [], :fees_minor::text [], :confirm_heights::bigint []
    ) AS m (transaction_id, height, block_id, succeeded, fee_minor, confirm_height)
WHERE
    t.network = :network::text
    AND t.transaction_id = m.transaction_id
    AND t.state <> 'mined';

-- name: return_transactions
-- The money of these transactions came back: they took no effect after all.
UPDATE transactions SET succeeded = false
WHERE
    network = :network::text
    AND transaction_id = any(:transaction_ids::text [])
    AND succeeded
RETURNING
    withdrawal_id, transaction_id, height, block_id, fee_minor::text AS network_fee_minor;

-- name: settle_withdrawals
-- Settle what is deep enough and in a block of the best chain at this moment.
WITH due AS (
    SELECT
        t.withdrawal_id,
        t.transaction_id,
        t.height,
        t.block_id,
        t.succeeded,
        t.fee_minor
    FROM withdrawals AS w
    INNER JOIN transactions AS t ON w.withdrawal_id = t.withdrawal_id AND t.state = 'mined'
    WHERE
        w.network = :network::text
        AND w.status IN ('signed', 'broadcast')
        AND t.confirm_height <= :tip_height::bigint
        AND t.height <= :final_height::bigint
        AND (
            EXISTS (
                SELECT 1 FROM blocks AS b
                WHERE b.network = t.network AND b.height = t.height AND b.block_id = t.block_id
            )
            OR t.height < (SELECT min(b.height) FROM blocks AS b WHERE b.network = t.network)
        )
    ORDER BY w.withdrawal_id
    FOR UPDATE OF w
)

UPDATE withdrawals AS w SET
    status = CASE WHEN due.succeeded THEN 'confirmed' ELSE 'failed' END,
    reason = CASE WHEN NOT due.succeeded THEN 'failed_on_chain' END,
    detail = CASE WHEN NOT due.succeeded THEN 'the transaction was mined without effect' END
FROM due
WHERE w.withdrawal_id = due.withdrawal_id AND w.status IN ('signed', 'broadcast')
RETURNING
    w.withdrawal_id, w.tenant, w.idempotency_key, w.owner, w.asset, w.network, w.address, w.memo,
    w.amount_minor::text AS amount_minor, w.fee_minor::text AS fee_minor, w.status, w.reason,
    w.detail, w.revision, w.decided_by, w.sender, w.nonce, w.created_at, w.updated_at,
    due.transaction_id, due.height, due.block_id, due.fee_minor::text AS network_fee_minor;

-- name: decided_withdrawals
-- Withdrawals that transactions in these blocks have decided on.
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
    w.updated_at,
    t.transaction_id,
    t.height,
    t.block_id,
    t.fee_minor::text AS network_fee_minor
FROM transactions AS t
INNER JOIN withdrawals AS w ON t.withdrawal_id = w.withdrawal_id
WHERE
    t.network = :network::text
    AND t.state = 'mined'
    AND t.height BETWEEN :first::bigint AND :last::bigint
    AND w.status IN ('confirmed', 'failed')
ORDER BY w.withdrawal_id;

-- name: supersede_attempts!
-- The other attempts at these withdrawals can no longer land, and are not sent any more.
UPDATE transactions SET state = 'superseded'
WHERE withdrawal_id = any(:withdrawal_ids::bigint []) AND state IN ('signed', 'broadcast');

-- name: noted_height$
-- The block of a transaction that our wallets paid for beside withdrawals: where it cost something, or
-- else, where there are no nonces, the first that showed it.
SELECT
    coalesce(
        (
            SELECT c.height FROM network_costs AS c
            WHERE
                c.network = :network::text
                AND c.transaction_id = :transaction_id::text
                AND c.status IN ('detected', 'confirmed')
        ),
        (
            SELECT f.height FROM foreign_transactions AS f
            WHERE f.network = :network::text AND f.transaction_id = :transaction_id::text
        )
    );

-- name: paid_order^
-- Whose order a transaction of ours was made for.
SELECT
    w.tenant,
    w.idempotency_key
FROM transactions AS t
INNER JOIN withdrawals AS w ON t.withdrawal_id = w.withdrawal_id
WHERE t.network = :network::text AND t.transaction_id = :transaction_id::text;

-- name: list_transactions
-- All attempts at a withdrawal, in order.
SELECT
    transaction_id,
    nonce,
    attempt,
    state,
    height,
    block_id,
    succeeded,
    fee_minor::text AS fee_minor,
    fee_minor_max::text AS fee_minor_max,
    last_outcome,
    last_detail,
    last_sent_at
FROM transactions
WHERE withdrawal_id = :withdrawal_id::bigint
ORDER BY attempt;
