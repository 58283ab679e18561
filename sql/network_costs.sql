-- name: detect_costs
-- Write what the network took from our addresses. A transaction that is there already is left alone,
-- unless its block left the chain: then it starts anew with the next revision. What was disowned never
-- does, and who waits for the row while that happens sees it.
INSERT INTO network_costs AS c (
    network, transaction_id, tenant, purpose, address, asset, amount_minor, height, block_id, status,
    confirm_height
)
SELECT
    :network::text,
    t.transaction_id,
    t.tenant,
    t.purpose,
    t.address,
    t.asset,
    t.amount_minor::numeric,
    t.height,
    t.block_id,
    'detected',
    t.confirm_height
FROM
    unnest(
        :transaction_ids::text [], :tenants::text [], :purposes::text [], :addresses::text [],
        :assets::text [], :amounts_minor::text [], :heights::bigint [], :block_ids::text [],
        :confirm_heights::bigint []
    ) AS t (
        transaction_id, tenant, purpose, address, asset, amount_minor, height, block_id,
        confirm_height
    )
ON CONFLICT (network, transaction_id) DO UPDATE SET
    tenant = excluded.tenant,
    purpose = excluded.purpose,
    address = excluded.address,
    asset = excluded.asset,
    amount_minor = excluded.amount_minor,
    height = excluded.height,
    block_id = excluded.block_id,
    status = 'detected',
    confirm_height = excluded.confirm_height,
    revision = c.revision + 1,
    detected_at = now(),
    confirmed_at = NULL
WHERE c.status = 'orphaned'
RETURNING c.transaction_id;

-- name: orphan_costs
-- Mark the costs of blocks that left the chain, and tell those that were confirmed.
WITH gone AS (
    SELECT
        c.cost_id,
        c.status AS was
    FROM network_costs AS c
    INNER JOIN
        unnest(:heights::bigint [], :block_ids::text []) AS b (height, block_id)
        ON c.height = b.height AND c.block_id = b.block_id
    WHERE c.network = :network::text AND c.status IN ('detected', 'confirmed')
    ORDER BY c.cost_id
    FOR UPDATE OF c
),

marked AS (
    UPDATE network_costs AS c SET status = 'orphaned'
    FROM gone
    WHERE c.cost_id = gone.cost_id
    RETURNING c.*, gone.was
)

SELECT
    c.cost_id,
    c.revision,
    c.tenant,
    c.purpose,
    c.asset,
    c.amount_minor::text AS amount_minor,
    c.network,
    c.address,
    c.transaction_id,
    c.height,
    c.block_id
FROM marked AS c
WHERE c.was = 'confirmed'
ORDER BY c.cost_id;

-- name: confirm_costs
-- Confirm every cost that is deep enough and whose block is on the best chain at this moment. A block
-- older than all we remember is beyond any reorganisation we allow.
UPDATE network_costs AS c SET
    status = 'confirmed',
    confirmed_at = now()
WHERE
    c.network = :network::text
    AND c.status = 'detected'
    AND c.confirm_height <= :tip_height::bigint
    AND c.height <= :final_height::bigint
    AND (
        EXISTS (
            SELECT 1 FROM blocks AS b
            WHERE
                b.network = c.network
                AND b.height = c.height
                AND b.block_id = c.block_id
        )
        OR c.height < (SELECT min(b.height) FROM blocks AS b WHERE b.network = c.network)
    )
RETURNING
    c.cost_id, c.revision, c.tenant, c.purpose, c.asset, c.amount_minor::text AS amount_minor,
    c.network, c.address, c.transaction_id, c.height, c.block_id;

-- name: decided_costs
-- The costs in these blocks, and what became of each.
SELECT
    c.cost_id,
    c.revision,
    c.tenant,
    c.purpose,
    c.asset,
    c.amount_minor::text AS amount_minor,
    c.network,
    c.address,
    c.transaction_id,
    c.height,
    c.block_id,
    c.status
FROM network_costs AS c
WHERE
    c.network = :network::text
    AND c.height BETWEEN :first::bigint AND :last::bigint
ORDER BY c.cost_id;

-- name: disown_cost
-- A transaction turns out to be a withdrawal's: what it cost is booked with that, from now on and
-- wherever it is mined again. Tell what was booked.
WITH known AS (
    SELECT
        c.cost_id,
        c.status AS was
    FROM network_costs AS c
    WHERE
        c.network = :network::text
        AND c.transaction_id = :transaction_id::text
        AND c.status IN ('detected', 'confirmed')
    FOR UPDATE OF c
)

UPDATE network_costs AS c SET status = 'disowned'
FROM known
WHERE c.cost_id = known.cost_id
RETURNING
    c.cost_id, c.revision, c.tenant, c.purpose, c.asset, c.amount_minor::text AS amount_minor,
    c.network, c.address, c.transaction_id, c.height, c.block_id, known.was = 'confirmed' AS booked;
