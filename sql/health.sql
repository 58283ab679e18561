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

-- name: late_sequences
-- Sequences that would give ids that are there already: a copy by logical replication has all rows, and its
-- sequences where they began.
SELECT s.sequencename
FROM pg_sequences AS s
INNER JOIN (
    SELECT
        'journal_entry_ids' AS name,
        max(entry_id) AS newest
    FROM journal_lines
    UNION ALL
    SELECT 'deposits_deposit_id_seq', max(deposit_id) FROM deposits
    UNION ALL
    SELECT 'network_costs_cost_id_seq', max(cost_id) FROM network_costs
    UNION ALL
    SELECT 'withdrawals_withdrawal_id_seq', max(withdrawal_id) FROM withdrawals
    UNION ALL
    SELECT 'foreign_transactions_foreign_id_seq', max(foreign_id) FROM foreign_transactions
    UNION ALL
    SELECT 'deliveries_delivery_id_seq', max(delivery_id) FROM deliveries
    UNION ALL
    SELECT 'outbox_id_seq', max(id) FROM outbox
    UNION ALL
    SELECT 'dead_letters_id_seq', max(id) FROM dead_letters
    UNION ALL
    SELECT 'reconciliations_run_id_seq', max(run_id) FROM reconciliations
    UNION ALL
    SELECT 'master_secrets_secret_id_seq', max(secret_id) FROM master_secrets
) AS given ON s.sequencename = given.name
WHERE
    s.schemaname = 'public'
    AND has_sequence_privilege(format('%I.%I', s.schemaname, s.sequencename), 'SELECT')
    AND coalesce(s.last_value, 0) < given.newest
ORDER BY s.sequencename;

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
