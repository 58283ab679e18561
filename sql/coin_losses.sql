-- name: vital_coins
-- Coins that every transaction of these withdrawals needs to land: each spends it, or spends what a
-- transaction of ours made that is in no block and spends it. None of these withdrawals is paid.
WITH RECURSIVE needed (withdrawal_id, transaction_id, coin) AS (
    SELECT
        t.withdrawal_id,
        t.transaction_id,
        c.coin
    FROM transactions AS t
    CROSS JOIN unnest(t.coins) AS c (coin)
    WHERE
        t.withdrawal_id = any(:withdrawal_ids::bigint [])
        AND NOT EXISTS (
            SELECT 1 FROM transactions AS o
            WHERE o.withdrawal_id = t.withdrawal_id AND o.state = 'mined'
        )
    UNION
    SELECT
        n.withdrawal_id,
        n.transaction_id,
        c.coin
    FROM needed AS n
    INNER JOIN transactions AS p
        ON
            p.network = :network::text
            AND p.transaction_id = split_part(n.coin, ':', 1)
            AND p.state <> 'mined'
    CROSS JOIN unnest(p.coins) AS c (coin)
)

SELECT
    n.withdrawal_id,
    n.coin
FROM needed AS n
GROUP BY n.withdrawal_id, n.coin
HAVING count(*) = (SELECT count(*) FROM transactions AS t WHERE t.withdrawal_id = n.withdrawal_id)
ORDER BY n.withdrawal_id, n.coin;

-- name: coin_takers
-- Transactions in blocks of the best chain that took one of these coins, needed by these withdrawals:
-- another withdrawal's, or perhaps one that is not ours and that the same wallet paid for. What those
-- spend only their bytes tell. What made one of the coins has taken none.
WITH vital AS (
    SELECT
        v.withdrawal_id,
        v.coin
    FROM unnest(:withdrawal_ids::bigint [], :coins::text []) AS v (withdrawal_id, coin)
),

since AS (
    SELECT
        v.withdrawal_id,
        min(d.height) AS height
    FROM vital AS v
    INNER JOIN deposits AS d
        ON
            d.network = :network::text
            AND d.transaction_id = split_part(v.coin, ':', 1)
            AND d.transfer_index = 'out:' || split_part(v.coin, ':', 2)
    GROUP BY v.withdrawal_id
),

taken AS (
    SELECT
        v.withdrawal_id,
        t.transaction_id,
        t.height,
        t.block_id,
        true AS ours
    FROM vital AS v
    INNER JOIN coin_claims AS k
        ON k.network = :network::text AND v.coin = k.coin AND v.withdrawal_id <> k.withdrawal_id
    INNER JOIN transactions AS t
        ON k.withdrawal_id = t.withdrawal_id AND t.state = 'mined' AND v.coin = any(t.coins)
    UNION
    SELECT
        w.withdrawal_id,
        c.transaction_id,
        c.height,
        c.block_id,
        false AS ours
    FROM since AS s
    INNER JOIN withdrawals AS w ON s.withdrawal_id = w.withdrawal_id
    INNER JOIN network_costs AS c
        ON w.network = c.network AND s.height <= c.height AND w.sender = c.address
    WHERE
        c.status IN ('detected', 'confirmed')
        AND NOT EXISTS (
            SELECT 1 FROM transactions AS t
            WHERE t.network = c.network AND t.transaction_id = c.transaction_id
        )
)

SELECT
    t.withdrawal_id,
    t.transaction_id,
    t.height,
    t.block_id,
    t.ours
FROM taken AS t
WHERE
    NOT EXISTS (SELECT 1 FROM vital AS v WHERE split_part(v.coin, ':', 1) = t.transaction_id)
    AND (
        EXISTS (
            SELECT 1 FROM blocks AS b
            WHERE b.network = :network::text AND b.height = t.height AND b.block_id = t.block_id
        )
        OR t.height < (SELECT min(b.height) FROM blocks AS b WHERE b.network = :network::text)
    )
ORDER BY t.withdrawal_id, t.height, t.transaction_id;

-- name: block_height$
-- The height of a block of the best chain.
SELECT b.height FROM blocks AS b
WHERE b.network = :network::text AND b.block_id = :block_id::text;

-- name: unseen_withdrawals
-- Withdrawals in coins that no block has shown, some time after they were last sent.
SELECT DISTINCT t.withdrawal_id
FROM transactions AS t
WHERE
    t.network = :network::text
    AND t.state IN ('signed', 'broadcast')
    AND t.coin IS NOT NULL
    AND coalesce(t.last_sent_at, t.created_at)
    NOT BETWEEN now() - make_interval(secs => :after_s::double precision)
    AND now() + make_interval(secs => :after_s::double precision)
    AND NOT EXISTS (
        SELECT 1 FROM transactions AS o
        WHERE o.withdrawal_id = t.withdrawal_id AND o.state = 'mined'
    )
ORDER BY t.withdrawal_id;

-- name: shaken_losses
-- Withdrawals given up for a transaction that has left the best chain: what took its place may pay them.
SELECT l.withdrawal_id
FROM coin_losses AS l
INNER JOIN withdrawals AS w ON l.withdrawal_id = w.withdrawal_id AND w.status = 'failed'
WHERE
    l.network = :network::text
    AND l.height >= (SELECT min(b.height) FROM blocks AS b WHERE b.network = l.network)
    AND NOT EXISTS (
        SELECT 1 FROM blocks AS b
        WHERE b.network = l.network AND b.height = l.height AND b.block_id = l.block_id
    )
ORDER BY l.withdrawal_id;

-- name: claimed_elsewhere$
-- Whether any of these coins is another withdrawal's that is not given up.
SELECT exists(
    SELECT 1 FROM coin_claims AS k
    INNER JOIN withdrawals AS w ON k.withdrawal_id = w.withdrawal_id AND w.status <> 'failed'
    WHERE
        k.network = :network::text
        AND k.coin = any(:coins::text [])
        AND k.withdrawal_id <> :withdrawal_id::bigint
);

-- name: record_loss!
-- Remember what took a coin of a withdrawal that is given up for it. Coins of that withdrawal which
-- it left are spare from there on; those of the wallet which it took as well are nobody's any more.
WITH lost AS (
    INSERT INTO coin_losses AS l (withdrawal_id, network, transaction_id, height, block_id)
    VALUES (
        :withdrawal_id::bigint, :network::text, :transaction_id::text, :height::bigint,
        :block_id::text
    )
    ON CONFLICT (withdrawal_id) DO UPDATE SET
        transaction_id = excluded.transaction_id,
        height = excluded.height,
        block_id = excluded.block_id
),

spared AS (
    UPDATE coin_claims AS k SET
        spare_height = :height::bigint
    WHERE k.withdrawal_id = :withdrawal_id::bigint AND k.coin <> all(:coins::text [])
),

gone AS (
    UPDATE deposits AS d SET claimed = true
    FROM unnest(:coins::text []) AS s (coin)
    WHERE
        d.network = :network::text
        AND d.transaction_id = split_part(s.coin, ':', 1)
        AND d.transfer_index = 'out:' || split_part(s.coin, ':', 2)
        AND d.purpose = 'hot'
    RETURNING s.coin
)

INSERT INTO coin_claims (network, coin, withdrawal_id)
SELECT
    :network::text,
    g.coin,
    :withdrawal_id::bigint
FROM gone AS g
ON CONFLICT (network, coin) DO NOTHING;

-- name: renew_losses!
-- What took coins of withdrawals that are given up may be in another block now, after a reorganisation:
-- their spare coins wait from there on.
WITH seen AS (
    SELECT
        o.withdrawal_id,
        s.height,
        s.block_id
    FROM coin_losses AS o
    CROSS JOIN LATERAL (
        SELECT
            c.height,
            c.block_id
        FROM network_costs AS c
        WHERE
            c.network = o.network
            AND c.transaction_id = o.transaction_id
            AND c.status IN ('detected', 'confirmed')
        UNION ALL
        SELECT
            t.height,
            t.block_id
        FROM transactions AS t
        WHERE
            t.network = o.network
            AND t.transaction_id = o.transaction_id
            AND t.state = 'mined'
        LIMIT 1 -- a look into two indexes for each, whatever the planner thinks
    ) AS s
    WHERE o.network = :network::text AND s.block_id <> o.block_id
),

moved AS (
    UPDATE coin_losses AS l SET
        height = s.height,
        block_id = s.block_id
    FROM seen AS s
    WHERE l.withdrawal_id = s.withdrawal_id
    RETURNING l.withdrawal_id, l.height
)

UPDATE coin_claims AS k SET spare_height = m.height
FROM moved AS m
INNER JOIN withdrawals AS w ON m.withdrawal_id = w.withdrawal_id AND w.status = 'failed'
WHERE k.withdrawal_id = m.withdrawal_id AND k.spare_height IS NOT NULL;
