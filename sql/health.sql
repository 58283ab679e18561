-- name: applied_migrations
-- The versions of the schema's migrations that were applied.
SELECT version FROM schema_migrations ORDER BY version;

-- name: read_server^
-- The server's version and clock, and whether the workers' role is there.
SELECT
    current_setting('server_version') AS version,
    clock_timestamp() AS now,
    exists(SELECT 1 FROM pg_roles WHERE rolname = 'millrace_app') AS has_role;

-- name: list_leases
-- Every lease with how long it is still good for.
SELECT
    name,
    holder,
    extract(EPOCH FROM expires_at - clock_timestamp())::double precision AS left_s
FROM leases
ORDER BY name;

-- name: list_progress
-- What every stage has done of each partition, and how long ago it last did anything.
SELECT
    cluster_id,
    stage,
    topic,
    partition,
    next_offset,
    extract(EPOCH FROM clock_timestamp() - updated_at)::double precision AS idle_s
FROM inbox
ORDER BY stage, topic, partition;
