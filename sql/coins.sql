-- name: free_coins
-- What these wallets can spend: outputs in blocks of the best chain, deep enough, that no withdrawal
-- has claimed.
SELECT
    d.address AS sender,
    d.transaction_id || substr(d.transfer_index, 4) AS coin, -- "out:N" gives ":N"
    d.amount_minor::text AS amount_minor
FROM deposits AS d
INNER JOIN cursors AS c ON d.network = c.network
WHERE
    d.network = :network::text
    AND d.address = any(:senders::text [])
    AND d.purpose = 'hot'
    AND NOT d.claimed
    AND d.contract IS NULL
    AND d.transfer_index LIKE 'out:%'
    AND d.status <> 'orphaned'
    AND d.confirm_height <= c.height
    AND NOT EXISTS (
        SELECT 1 FROM coin_claims AS k
        WHERE k.network = d.network AND k.coin = d.transaction_id || substr(d.transfer_index, 4)
    )
    AND (
        EXISTS (
            SELECT 1 FROM blocks AS b
            WHERE b.network = d.network AND b.height = d.height AND b.block_id = d.block_id
        )
        OR d.height < (SELECT min(b.height) FROM blocks AS b WHERE b.network = d.network)
    )
ORDER BY d.deposit_id;

-- name: claim_coins!
-- Keep coins for a withdrawal. One that is another's already is an error, unless that is given up: then
-- both lost it to the same transaction.
WITH claims AS (
    INSERT INTO coin_claims (network, coin, withdrawal_id)
    SELECT
        :network::text,
        s.coin,
        s.withdrawal_id
    FROM unnest(:coins::text [], :withdrawal_ids::bigint []) AS s (coin, withdrawal_id)
    WHERE NOT EXISTS (
        SELECT 1 FROM coin_claims AS k
        INNER JOIN withdrawals AS w ON k.withdrawal_id = w.withdrawal_id
        WHERE
            k.network = :network::text
            AND k.coin = s.coin
            AND (k.withdrawal_id = s.withdrawal_id OR w.status = 'failed')
    )
    RETURNING network, coin
)

UPDATE deposits AS d SET claimed = true
FROM claims AS k
WHERE
    d.network = k.network
    AND d.transaction_id = split_part(k.coin, ':', 1)
    AND d.transfer_index = 'out:' || split_part(k.coin, ':', 2);

-- name: spare_coins!
-- Note which coins these settled withdrawals did not spend in the end.
UPDATE coin_claims AS k SET spare_height = t.height
FROM transactions AS t
WHERE
    k.withdrawal_id = any(:withdrawal_ids::bigint [])
    AND t.withdrawal_id = k.withdrawal_id
    AND t.state = 'mined'
    AND k.coin <> all(t.coins);

-- name: keep_spare_coins!
-- Another attempt at these withdrawals may yet spend what the last one did not.
UPDATE coin_claims SET spare_height = NULL
WHERE withdrawal_id = any(:withdrawal_ids::bigint []) AND spare_height IS NOT NULL;

-- name: release_coins!
-- Let go of spare coins whose withdrawals no reorganisation can open again that we follow by itself;
-- of those given up only while what took their coins is in the best chain as we remember it: a block
-- that we have forgotten may have left the chain before.
WITH released AS (
    DELETE FROM coin_claims AS k
    USING cursors AS c
    WHERE
        k.network = :network::text
        AND c.network = k.network
        AND k.spare_height <= c.height - :reorg_depth_max::bigint
        AND NOT EXISTS (
            SELECT 1 FROM coin_losses AS l
            INNER JOIN withdrawals AS w ON l.withdrawal_id = w.withdrawal_id AND w.status = 'failed'
            WHERE
                l.withdrawal_id = k.withdrawal_id
                AND NOT EXISTS (
                    SELECT 1 FROM blocks AS b
                    WHERE b.network = l.network AND b.height = l.height AND b.block_id = l.block_id
                )
        )
    RETURNING k.network, k.coin, k.withdrawal_id
),

let_go AS (
    UPDATE withdrawals AS w SET nonce_released = true
    FROM released AS k
    WHERE w.withdrawal_id = k.withdrawal_id AND w.coin = k.coin AND w.status = 'failed'
)

UPDATE deposits AS d SET claimed = false
FROM released AS k
WHERE
    d.network = k.network
    AND d.transaction_id = split_part(k.coin, ':', 1)
    AND d.transfer_index = 'out:' || split_part(k.coin, ':', 2);
