-- name: applied_migrations
-- The versions of the schema's migrations that were applied.
SELECT version FROM schema_migrations ORDER BY version;

-- name: read_server^
-- The server's version and clock, and whether the workers' role is there.
SELECT
    current_setting('server_version') AS version,
    clock_timestamp() AS now,
    exists(SELECT 1 FROM pg_roles WHERE rolname = 'millrace_app') AS has_role;

-- name: sorts_otherwise$
-- Whether texts sort by another version of the system's rules than when this database was made. Where it
-- goes by none of them (C), there is no version.
SELECT coalesce(datcollversion <> coalesce(pg_database_collation_actual_version(oid), ''), FALSE)
FROM pg_database
WHERE datname = current_database();

-- name: keeps_settings$
-- Whether the session has the time-out that every connection of ours asks for, or a shorter one.
SELECT
    current_setting('idle_in_transaction_session_timeout')::interval
    BETWEEN interval '1 millisecond' AND make_interval(secs => :idle_s::double precision);

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
