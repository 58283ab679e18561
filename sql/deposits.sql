-- name: survey_network^
-- What has to be known of blocks before they are judged, in one look: how far the network is followed,
-- which of the blocks are on the best chain, in their order, the addresses added since a serial, whose
-- those named in the blocks are, and whether deposits or network costs wait for a height that the network
-- has. Of forgotten blocks nothing can be said any more (NULL): they were matched long ago.
SELECT
    c.height,
    c.safe_height,
    c.finalized_height,
    c.node_height,
    c.matched_height,
    c.halted_reason,
    c.settled_height,
    ARRAY(
        SELECT CASE WHEN asked.height >= coalesce(oldest.height, 0) THEN b.height IS NOT NULL END
        FROM
            unnest(:heights::bigint [], :block_ids::text [])
            WITH ORDINALITY AS asked (height, block_id, position)
        LEFT JOIN blocks AS b
            ON
                b.network = :network::text
                AND b.height = asked.height
                AND b.block_id = asked.block_id
        ORDER BY asked.position
    ) AS standing,
    added.serials,
    added.addresses,
    owned.addresses AS owned_addresses,
    owned.tenants,
    owned.owners,
    owned.purposes,
    coalesce(
        (SELECT min(w.confirm_height) FROM waiting_deposits AS w WHERE w.network = c.network)
        <= c.height, FALSE
    )
    OR coalesce(
        (
            SELECT min(n.confirm_height) FROM network_costs AS n
            WHERE n.network = c.network AND n.status = 'detected'
        ) <= c.height, FALSE
    ) AS due
FROM (SELECT min(b.height) AS height FROM blocks AS b WHERE b.network = :network::text) AS oldest
CROSS JOIN (
    SELECT
        coalesce(array_agg(a.serial), '{}') AS serials,
        coalesce(array_agg(a.address), '{}') AS addresses
    FROM (
        SELECT
            addresses.serial,
            addresses.address
        FROM addresses
        WHERE addresses.network = :network::text AND addresses.serial > :after_serial::bigint
        ORDER BY addresses.serial
        LIMIT :limit_rows::integer
    ) AS a
) AS added
CROSS JOIN (
    SELECT
        coalesce(array_agg(a.address), '{}') AS addresses,
        coalesce(array_agg(a.tenant), '{}') AS tenants,
        coalesce(array_agg(a.owner), '{}') AS owners,
        coalesce(array_agg(a.purpose), '{}') AS purposes
    FROM addresses AS a
    WHERE a.network = :network::text AND a.address = any(:named::text [])
) AS owned
LEFT JOIN cursors AS c ON c.network = :network::text;

-- name: own_transactions
-- Which of these transactions are attempts at withdrawals of ours.
SELECT transaction_id
FROM transactions
WHERE network = :network::text AND transaction_id = any(:transaction_ids::text []);

-- name: detect_deposits
-- Write transfers to our addresses as deposits. A transfer that is there already is left alone,
-- unless its block left the chain: then it starts anew with the next revision, and remains whose an
-- operator said it is. So does one of a token that was unknown and is listed now.
-- What confirm_deposits would confirm at this moment is confirmed with it, unless its block is
-- forgotten: a deposit of a chain that is being caught up with is written once instead of twice. What
-- is returned of each is its key, and what the caller cannot know.
WITH written AS (
    INSERT INTO deposits AS d (
        network, transaction_id, transfer_index, tenant, owner, purpose, address, sender, contract,
        asset, amount_minor, memo, height, block_id, status, ignored_reason, confirm_height,
        confirmed_at
    )
    SELECT
        :network::text,
        t.transaction_id,
        t.transfer_index,
        t.tenant,
        t.owner,
        t.purpose,
        t.address,
        t.sender,
        t.contract,
        t.asset,
        t.amount_minor,
        t.memo,
        t.height,
        t.block_id,
        s.status,
        t.ignored_reason,
        t.confirm_height,
        CASE s.status WHEN 'confirmed' THEN now() END
    FROM
        unnest(
            :transaction_ids::text::text [], :transfer_indexes::text::text [],
            :tenants::text::text [], :owners::text::text [], :purposes::text::text [],
            :addresses::text::text [], :senders::text::text [], :contracts::text::text [],
            :assets::text::text [], :amounts_minor::text::numeric [], :memos::text::text [],
            :heights::text::bigint [], :block_ids::text::text [],
            :ignored_reasons::text::text [], :confirm_heights::text::bigint []
        ) AS t (
            transaction_id, transfer_index, tenant, owner, purpose, address, sender, contract,
            asset, amount_minor, memo, height, block_id, ignored_reason, confirm_height
        )
    LEFT JOIN blocks AS b
        ON b.network = :network::text AND t.height = b.height AND t.block_id = b.block_id
    CROSS JOIN LATERAL (
        SELECT
            CASE
                WHEN t.ignored_reason IS NOT NULL THEN 'ignored'
                WHEN
                    b.block_id IS NOT NULL
                    AND t.confirm_height <= :tip_height::bigint
                    AND t.height <= :final_height::bigint
                    THEN 'confirmed'
                ELSE 'detected'
            END AS status
    ) AS s
    ON CONFLICT (network, transaction_id, transfer_index) DO UPDATE SET
        tenant = excluded.tenant,
        owner = CASE
            WHEN d.assigned_by IS NULL AND d.status = 'orphaned' THEN excluded.owner ELSE d.owner
        END,
        purpose = excluded.purpose,
        address = excluded.address,
        sender = excluded.sender,
        contract = excluded.contract,
        asset = excluded.asset,
        amount_minor = excluded.amount_minor,
        memo = excluded.memo,
        height = excluded.height,
        block_id = excluded.block_id,
        status = excluded.status,
        ignored_reason = excluded.ignored_reason,
        confirm_height = excluded.confirm_height,
        revision = d.revision + 1,
        detected_at = now(),
        confirmed_at = excluded.confirmed_at
    WHERE
        d.status = 'orphaned'
        OR (d.ignored_reason = 'unknown_token' AND excluded.asset IS NOT NULL)
    RETURNING
        d.transaction_id, d.transfer_index, d.deposit_id, d.revision, d.owner, d.status,
        d.network, d.confirm_height
),

waiting AS (
    INSERT INTO waiting_deposits (network, confirm_height, deposit_id)
    SELECT
        network,
        confirm_height,
        deposit_id
    FROM written
    WHERE status = 'detected'
    ON CONFLICT DO NOTHING
)

SELECT
    transaction_id,
    transfer_index,
    deposit_id,
    revision,
    owner,
    status
FROM written;

-- name: orphan_deposits
-- Mark the deposits of blocks that left the chain, and tell what each was before. IS TRUE makes Postgres
-- hash the ids: as a join of tables it knows little of, it would compare each with each.
WITH gone AS (
    SELECT
        d.deposit_id,
        d.status AS was
    FROM deposits AS d
    INNER JOIN
        unnest(:heights::bigint [], :block_ids::text []) AS b (height, block_id)
        ON d.height = b.height AND d.block_id = b.block_id
    WHERE d.network = :network::text AND d.status <> 'orphaned'
    ORDER BY d.deposit_id
    FOR UPDATE OF d
),

orphaned AS (
    UPDATE deposits AS d SET status = 'orphaned', ignored_reason = NULL
    FROM gone
    WHERE d.deposit_id = gone.deposit_id
    RETURNING
        d.deposit_id, d.revision, d.tenant, d.owner, d.purpose, d.asset,
        d.amount_minor::text AS amount_minor, d.network, d.address, d.transaction_id,
        d.transfer_index, d.height, d.memo, gone.was AS status, d.ignored_reason, d.sender,
        d.contract, d.confirm_height, d.block_id
),

waiting AS (
    DELETE FROM waiting_deposits
    WHERE
        network = :network::text
        AND (deposit_id IN (SELECT deposit_id FROM orphaned)) IS TRUE
)

SELECT * FROM orphaned;

-- name: confirm_deposits
-- Confirm every deposit that is deep enough and whose block is on the best chain at this moment.
-- A block older than all we remember is beyond any reorganisation we allow.
WITH confirmed AS (
    UPDATE deposits AS d SET
        status = 'confirmed',
        confirmed_at = now()
    WHERE
        d.deposit_id = any(ARRAY(
            SELECT w.deposit_id FROM waiting_deposits AS w
            WHERE w.network = :network::text AND w.confirm_height <= :tip_height::bigint
        ))
        AND d.network = :network::text
        AND d.status = 'detected'
        AND d.confirm_height <= :tip_height::bigint
        AND d.height <= :final_height::bigint
        AND (
            EXISTS (
                SELECT 1 FROM blocks AS b
                WHERE
                    b.network = d.network
                    AND b.height = d.height
                    AND b.block_id = d.block_id
            )
            OR d.height < (SELECT min(b.height) FROM blocks AS b WHERE b.network = d.network)
        )
    RETURNING
        d.deposit_id, d.revision, d.tenant, d.owner, d.purpose, d.asset,
        d.amount_minor::text AS amount_minor, d.network, d.address, d.transaction_id,
        d.transfer_index, d.height, d.memo, d.status, d.ignored_reason, d.sender, d.contract,
        d.confirm_height, d.block_id
),

waiting AS (
    DELETE FROM waiting_deposits
    WHERE
        network = :network::text
        AND confirm_height <= :tip_height::bigint
        AND (deposit_id IN (SELECT deposit_id FROM confirmed)) IS TRUE
)

SELECT * FROM confirmed;

-- name: decided_deposits
-- The deposits of listed assets in these blocks.
SELECT
    d.deposit_id,
    d.revision,
    d.tenant,
    d.owner,
    d.purpose,
    d.asset,
    d.amount_minor::text AS amount_minor,
    d.network,
    d.address,
    d.transaction_id,
    d.transfer_index,
    d.height,
    d.memo,
    d.status,
    d.ignored_reason,
    d.sender,
    d.contract,
    d.confirm_height,
    d.block_id
FROM deposits AS d
WHERE
    d.network = :network::text
    AND d.height BETWEEN :first::bigint AND :last::bigint
    AND d.asset IS NOT NULL
ORDER BY d.deposit_id;

-- name: find_deposit^
-- A deposit of a tenant, which stays as it is until this transaction ends.
SELECT
    d.deposit_id,
    d.revision,
    d.tenant,
    d.owner,
    d.purpose,
    d.asset,
    d.amount_minor::text AS amount_minor,
    d.network,
    d.address,
    d.transaction_id,
    d.transfer_index,
    d.height,
    d.memo,
    d.status,
    d.ignored_reason,
    d.sender,
    d.contract,
    d.confirm_height,
    d.block_id
FROM deposits AS d
WHERE d.tenant = :tenant::text AND d.deposit_id = :deposit_id::bigint
FOR UPDATE;

-- name: assign_deposit!
-- Say whose a deposit is that nobody was found for. The database refuses all others.
UPDATE deposits SET
    owner = :owner::text,
    assigned_by = :actor::text,
    assigned_at = now()
WHERE deposit_id = :deposit_id::bigint;

-- name: list_deposits
-- Deposits, newest first, optionally of one tenant or owner, or those nobody was found for.
SELECT
    d.deposit_id,
    d.revision,
    d.tenant,
    d.owner,
    d.purpose,
    d.asset,
    d.amount_minor::text AS amount_minor,
    d.network,
    d.address,
    d.transaction_id,
    d.transfer_index,
    d.height,
    d.memo,
    d.status,
    d.ignored_reason,
    d.sender,
    d.contract,
    d.confirm_height,
    d.block_id
FROM deposits AS d
WHERE
    (:tenant::text IS NULL OR d.tenant = :tenant::text)
    AND (:owner::text IS NULL OR d.owner = :owner::text)
    AND (
        NOT :unassigned::boolean
        OR (d.purpose = 'pooled' AND d.owner = '' AND d.status IN ('detected', 'confirmed'))
    )
ORDER BY d.deposit_id DESC
LIMIT :limit_rows::integer;

-- name: list_waiting_deposits
-- Deposits of all tenants that are found and not confirmed, of one network if given, and what each
-- waits for; first those that are due for longest.
SELECT
    d.deposit_id,
    d.tenant,
    d.owner,
    d.asset,
    d.amount_minor::text AS amount_minor,
    d.network,
    d.address,
    d.transaction_id,
    d.transfer_index,
    d.height,
    d.confirm_height,
    d.detected_at,
    CASE
        WHEN q.confirm_height > c.height THEN 'confirmations'
        WHEN n.finality = 'safe' AND d.height > coalesce(c.safe_height, -1) THEN 'safe'
        WHEN n.finality = 'finalized' AND d.height > coalesce(c.finalized_height, -1)
            THEN 'finalized'
        ELSE 'confirm_deposits'
    END AS waits_for
FROM waiting_deposits AS q
INNER JOIN deposits AS d ON q.deposit_id = d.deposit_id
INNER JOIN networks AS n ON q.network = n.network
INNER JOIN cursors AS c ON q.network = c.network
WHERE :network::text IS NULL OR q.network = :network::text
ORDER BY q.confirm_height > c.height, d.detected_at, q.deposit_id
LIMIT :limit_rows::integer;

-- name: stale_blocks
-- Blocks that deposits or costs of these transactions are recorded in although they are not on the
-- best chain as read so far, be it because it is still shorter. Blocks older than all we remember
-- stay.
SELECT
    r.height,
    r.block_id
FROM (
    SELECT
        d.height,
        d.block_id
    FROM deposits AS d
    WHERE
        d.network = :network::text
        AND d.transaction_id = any(:transaction_ids::text [])
        AND d.status <> 'orphaned'
    UNION
    SELECT
        c.height,
        c.block_id
    FROM network_costs AS c
    WHERE
        c.network = :network::text
        AND c.transaction_id = any(:transaction_ids::text [])
        AND c.status IN ('detected', 'confirmed')
) AS r
WHERE
    r.height >= (SELECT min(b.height) FROM blocks AS b WHERE b.network = :network::text)
    AND NOT EXISTS (
        SELECT 1 FROM blocks AS b
        WHERE b.network = :network::text AND b.height = r.height AND b.block_id = r.block_id
    );

-- name: deposit_policies
-- Every asset's rules for deposits, and its network's.
SELECT
    n.network,
    n.confirmations,
    n.finality,
    a.asset,
    a.contract,
    a.deposit_minor_min::text AS deposit_minor_min,
    a.confirmations_by_amount
FROM networks AS n
LEFT JOIN assets AS a ON n.network = a.network;
