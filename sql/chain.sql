-- name: read_cursor^
-- How far a network is followed.
SELECT
    height,
    safe_height,
    finalized_height,
    node_height,
    matched_height,
    halted_reason,
    settled_height
FROM cursors
WHERE network = :network::text;

-- name: recent_blocks
-- The newest blocks of the best chain as read, newest first.
SELECT
    height,
    block_id,
    parent_id,
    published
FROM blocks
WHERE network = :network::text
ORDER BY height DESC
LIMIT :limit_rows::integer;

-- name: read_place^
-- How far a network is followed, and the newest block of the best chain as read.
SELECT
    c.height,
    c.halted_reason IS NOT NULL AS halted,
    (
        SELECT b.block_id FROM blocks AS b
        WHERE b.network = c.network
        ORDER BY b.height DESC
        LIMIT 1
    ) AS block_id
FROM cursors AS c
WHERE c.network = :network::text;

-- name: append_blocks^
-- Append blocks to the best chain, not yet published, and move the cursor onto them: nothing of it unless
-- the lease is held and the cursor is still where the caller thinks. The statement commits without
-- waiting for the disk: whatever leans on these blocks commits later and waits for all that was before
-- it, and were they lost in a crash, the cursor would be too, and they would be read again.
WITH held AS (
    SELECT l.holder FROM leases AS l
    WHERE l.name = :lease::text AND l.holder = :holder::uuid
    FOR SHARE
),

moved AS (
    INSERT INTO cursors AS c (network, height, safe_height, finalized_height, node_height)
    SELECT
        :network::text,
        :height::bigint,
        :safe_height::bigint,
        :finalized_height::bigint,
        :node_height::bigint
    FROM held
    ON CONFLICT (network) DO UPDATE SET
        height = excluded.height,
        safe_height = coalesce(excluded.safe_height, c.safe_height),
        finalized_height = coalesce(excluded.finalized_height, c.finalized_height),
        node_height = excluded.node_height,
        updated_at = now()
    WHERE c.height = :height_before::bigint AND c.halted_reason IS NULL
    RETURNING c.network
),

added AS (
    INSERT INTO blocks (network, height, block_id, parent_id, clock)
    SELECT
        moved.network,
        b.height,
        b.block_id,
        b.parent_id,
        b.clock
    FROM
        unnest(:heights::bigint [], :block_ids::text [], :parent_ids::text [], :clocks::bigint [])
            AS b (height, block_id, parent_id, clock)
    CROSS JOIN moved
    CROSS JOIN (SELECT set_config('synchronous_commit', 'off', true) AS waits) AS disk
    WHERE disk.waits = 'off'
)

SELECT
    (SELECT count(*) FROM held) = 1 AS held,
    (SELECT count(*) FROM moved) = 1 AS appended;

-- name: mark_published$
-- Remember that Kafka has these blocks, if the lease is held; tell whether it is. Does not wait for the
-- disk either: a block whose mark is lost in a crash is published once more.
WITH held AS (
    SELECT l.holder FROM leases AS l
    WHERE l.name = :lease::text AND l.holder = :holder::uuid
    FOR SHARE
),

marked AS (
    UPDATE blocks SET published = true
    FROM held, (SELECT set_config('synchronous_commit', 'off', true) AS waits) AS disk
    WHERE
        blocks.network = :network::text
        AND blocks.height = any(:heights::bigint [])
        AND NOT blocks.published
        AND disk.waits = 'off'
)

SELECT count(*) = 1 AS held FROM held;

-- name: remove_blocks
-- Take the blocks from a height on off the best chain, and tell them, newest first.
WITH removed AS (
    DELETE FROM blocks
    WHERE network = :network::text AND height >= :from_height::bigint
    RETURNING height, block_id
)

SELECT
    removed.height,
    removed.block_id
FROM removed
ORDER BY removed.height DESC;

-- name: move_cursor!
-- Set how far the network is followed and what the node says of itself.
INSERT INTO cursors (network, height, safe_height, finalized_height, node_height)
VALUES (
    :network::text, :height::bigint, :safe_height::bigint, :finalized_height::bigint,
    :node_height::bigint
)
ON CONFLICT (network) DO UPDATE SET
    height = excluded.height,
    safe_height = coalesce(excluded.safe_height, cursors.safe_height),
    finalized_height = coalesce(excluded.finalized_height, cursors.finalized_height),
    node_height = excluded.node_height,
    -- Not least(), which would make a number of NULL: nothing was settled yet.
    settled_height = CASE
        WHEN cursors.settled_height > excluded.height THEN excluded.height
        ELSE cursors.settled_height
    END,
    updated_at = now();

-- name: halt_network!
-- Stop following a network until an operator resumes it; NULL resumes.
UPDATE cursors SET halted_reason = :reason::text
WHERE network = :network::text;

-- name: mark_matched!
-- Remember the highest block that match_deposits has done.
UPDATE cursors SET matched_height = greatest(coalesce(matched_height, 0), :height::bigint)
WHERE network = :network::text;

-- name: lock_cursor$
-- Let nobody move the network's cursor before this transaction ends.
SELECT height FROM cursors
WHERE network = :network::text
FOR UPDATE;

-- name: mark_settled!
-- Remember the highest block of the best chain that confirm_withdrawals has done. The caller has
-- locked the cursor, so that the block cannot leave the chain meanwhile.
UPDATE cursors AS c SET settled_height = greatest(coalesce(c.settled_height, 0), b.height)
FROM blocks AS b
WHERE
    c.network = :network::text
    AND b.network = c.network
    AND b.height = :height::bigint
    AND b.block_id = :block_id::text;

-- name: clock_at$
-- What the chain measures expiry by, in its highest block up to a height.
SELECT b.clock FROM blocks AS b
WHERE b.network = :network::text AND b.height <= :height::bigint
ORDER BY b.height DESC
LIMIT 1;

-- name: canonical_blocks
-- Which of these blocks are on the best chain.
SELECT b.block_id
FROM
    unnest(:heights::bigint [], :block_ids::text []) AS asked (height, block_id)
INNER JOIN blocks AS b
    ON
        b.network = :network::text
        AND b.height = asked.height
        AND b.block_id = asked.block_id;

-- name: prune_blocks!
-- Forget blocks so deep that no reorganisation is allowed to reach them, once they are matched and, if
-- withdrawals are made at all, searched for payments: one that is not remembered counts as off the
-- chain, and what it pays would be paid again. (least() leaves out NULL: as long as none was matched at
-- all, none is forgotten.)
DELETE FROM blocks AS b
USING cursors AS c
WHERE
    b.network = :network::text
    AND c.network = b.network
    AND b.height
    < least(c.height, coalesce(c.matched_height, 0), c.settled_height) - :keep_blocks::bigint;
