-- name: open_inbox^
-- The next offset a stage will take of a partition, and the time of the record before it; the row is made
-- if it is not there yet.
INSERT INTO inbox AS i (cluster_id, stage, topic, partition, next_offset)
VALUES (:cluster_id::text, :stage::text, :topic::text, :partition::integer, 0)
ON CONFLICT (cluster_id, stage, topic, partition) DO UPDATE SET updated_at = i.updated_at
RETURNING next_offset, last_ms;

-- name: advance_inbox$
-- Take the row of a partition for this transaction, move it on and tell where it was.
UPDATE inbox SET
    next_offset = greatest(held.next_offset, :next_offset::bigint),
    last_ms = CASE
        WHEN held.next_offset < :next_offset::bigint THEN :last_ms::bigint
        ELSE inbox.last_ms
    END,
    updated_at = now()
FROM (
    SELECT i.next_offset FROM inbox AS i
    WHERE
        i.cluster_id = :cluster_id::text
        AND i.stage = :stage::text
        AND i.topic = :topic::text
        AND i.partition = :partition::integer
    FOR UPDATE
) AS held
WHERE
    inbox.cluster_id = :cluster_id::text
    AND inbox.stage = :stage::text
    AND inbox.topic = :topic::text
    AND inbox.partition = :partition::integer
RETURNING held.next_offset;

-- name: fill_outbox
-- Add records to be published, in this order, and tell their ids.
INSERT INTO outbox (topic, key, payload)
SELECT
    r.topic,
    r.key,
    r.payload
FROM
    unnest(:topics::text [], :keys::text [], :payloads::bytea [])
    WITH ORDINALITY AS r (topic, key, payload, position)
ORDER BY r.position
RETURNING id;

-- name: read_outbox
-- The oldest records that nobody has published for a while, but for those of some topics. Those of
-- transactions that commit later come in a later read, whatever their id: nothing is skipped, because
-- rows leave only by delete.
SELECT
    id,
    topic,
    key,
    payload
FROM outbox
WHERE
    -- What is of the future was written before the clock was set back. CASE, because Postgres expects
    -- hardly a row of plain conditions, and would sort all that waits for each page.
    CASE
        WHEN
            created_at BETWEEN now() - make_interval(secs => :older_than_s::double precision)
            AND now() + make_interval(secs => :older_than_s::double precision)
            THEN FALSE
        ELSE topic <> ALL(:but_for::text [])
    END
ORDER BY id
LIMIT :limit_rows::integer;

-- name: delete_outbox!
-- Drop records that Kafka has acknowledged, without waiting for the disk: one that is back after a crash
-- is published once more.
DELETE FROM outbox
USING (SELECT set_config('synchronous_commit', 'off', true) AS waits) AS disk
WHERE id = any(:ids::bigint []) AND disk.waits = 'off';

-- name: measure_outbox^
-- Records waiting, and the age of the oldest.
SELECT
    count(*) AS depth,
    coalesce(extract(EPOCH FROM now() - min(created_at)), 0)::double precision AS oldest_s
FROM outbox;

-- name: park_records!
-- Keep records that no stage could use.
INSERT INTO dead_letters (stage, topic, partition, record_offset, key, payload, error)
SELECT
    :stage::text,
    r.topic,
    r.partition,
    r.record_offset,
    r.key,
    r.payload,
    r.error
FROM
    unnest(
        :topics::text [], :partitions::integer [], :record_offsets::bigint [],
        :keys::bytea [], :payloads::bytea [], :errors::text []
    ) AS r (topic, partition, record_offset, key, payload, error);

-- name: list_dead_letters
-- Dead letters neither redriven nor discarded, oldest first.
SELECT
    id,
    stage,
    topic,
    partition,
    record_offset,
    key,
    payload,
    error,
    created_at
FROM dead_letters
WHERE closed_at IS NULL
ORDER BY id
LIMIT :limit_rows::integer;

-- name: find_dead_letter^
-- One dead letter that is neither redriven nor discarded.
SELECT
    id,
    stage,
    topic,
    partition,
    record_offset,
    key,
    payload,
    error,
    created_at
FROM dead_letters
WHERE id = :letter_id::bigint AND closed_at IS NULL;

-- name: redrive_dead_letters
-- Mark dead letters as redriven and return them for publishing; no ids: all that are open.
UPDATE dead_letters SET closed_at = now()
WHERE
    closed_at IS NULL
    AND (:ids::bigint [] IS NULL OR id = any(:ids::bigint []))
RETURNING id, topic, key, payload;

-- name: discard_dead_letters
-- Mark dead letters as discarded.
UPDATE dead_letters SET closed_at = now()
WHERE
    closed_at IS NULL
    AND id = any(:ids::bigint [])
RETURNING id;

-- name: count_dead_letters$
-- Dead letters neither redriven nor discarded.
SELECT count(*) FROM dead_letters WHERE closed_at IS NULL;

-- name: take_lease$
-- Take a lease; nothing comes back if somebody else holds it. One renewed in the future was so before the
-- clock was set back; a minute is more than this waits for whoever is renewing.
INSERT INTO leases AS held (name, holder, expires_at)
VALUES (:name::text, :holder::uuid, now() + make_interval(secs => :lease_s::double precision))
ON CONFLICT (name) DO UPDATE SET
    holder = excluded.holder,
    renewed_at = excluded.renewed_at,
    expires_at = excluded.expires_at
WHERE
    held.holder = excluded.holder
    OR held.expires_at < now()
    OR held.renewed_at > now() + interval '1 minute'
RETURNING holder;

-- name: renew_lease$
-- Renew a lease that nobody else has taken since; nothing comes back if it is lost, be it free again.
UPDATE leases SET
    renewed_at = now(),
    expires_at = now() + make_interval(secs => :lease_s::double precision)
WHERE name = :name::text AND holder = :holder::uuid
RETURNING holder;

-- name: hold_lease$
-- Keep a lease from changing hands until this transaction ends; nothing comes back if it is lost.
SELECT holder FROM leases
WHERE name = :name::text AND holder = :holder::uuid
FOR SHARE;

-- name: release_lease!
-- Give a lease up at once, for a graceful stop.
DELETE FROM leases
WHERE name = :name::text AND holder = :holder::uuid;

-- name: used_topics
-- The topics that stages have read, and those that records wait to be published to.
SELECT topic FROM inbox
UNION
SELECT topic FROM outbox
ORDER BY topic;
