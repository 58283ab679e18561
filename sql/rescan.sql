-- name: oldest_block$
-- The lowest block of a network that is remembered; nothing if there is none.
SELECT min(height) FROM blocks WHERE network = :network::text;

-- name: hold_stages
-- Let these stages take no batch before this transaction ends; wait until the one they are at is done.
SELECT i.stage FROM inbox AS i
WHERE i.stage = any(:stages::text [])
ORDER BY i.cluster_id, i.stage, i.topic, i.partition
FOR UPDATE;
