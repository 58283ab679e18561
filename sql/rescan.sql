-- name: oldest_block$
-- The lowest block of a network that is remembered; nothing if there is none.
SELECT min(height) FROM blocks WHERE network = :network::text;
