-- migrate:up

-- What workers and operators' commands need, and no more: an account that is in the role millrace_app
-- owns no table and so gets round no guard. Only `millrace init` and `migrate` want the owner, who alone
-- changes the schema, networks, assets and master secrets. Roles belong to the whole cluster: another
-- database may have made it already, and who may not make roles goes without.
DO $$
BEGIN
    BEGIN
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'millrace_app') THEN
            CREATE ROLE millrace_app NOLOGIN;
        END IF;
    EXCEPTION
        WHEN duplicate_object OR unique_violation THEN NULL; -- somebody else was quicker
    END;

    GRANT SELECT ON ALL TABLES IN SCHEMA public TO millrace_app; -- views are among them

    -- The ledger: open accounts, insert lines, freeze. Triggers alone write balances.
    GRANT INSERT (tenant, owner, asset, bucket), UPDATE (frozen_at, frozen_reason, frozen_by)
    ON accounts TO millrace_app;
    GRANT INSERT ON journal_lines TO millrace_app;
    GRANT USAGE ON SEQUENCE journal_entry_ids TO millrace_app;
    GRANT SELECT ON ALL SEQUENCES IN SCHEMA public TO millrace_app; -- to see that none is behind

    -- Whether a tenant is paid for is an operator's word; what its wallets are never changes.
    GRANT UPDATE (status) ON tenants TO millrace_app;

    -- Written once.
    GRANT INSERT ON tenants, users, outbox, key_pool, addresses, memos, waiting_deposits,
    foreign_transactions, events, delivery_attempts, reconciliations, reconciliation_differences
    TO millrace_app;

    -- Written and changed; triggers keep what must stay.
    GRANT INSERT, UPDATE ON inbox, dead_letters, leases, blocks, cursors, address_counters, deposits,
    network_costs, withdrawals, nonces, coin_claims, coin_losses, transactions, endpoints,
    delivery_workers, deliveries TO millrace_app;

    -- Deleted when done with or grown old.
    GRANT DELETE ON outbox, dead_letters, leases, blocks, waiting_deposits, coin_claims, endpoints,
    events, deliveries, delivery_workers, reconciliations TO millrace_app;
EXCEPTION
    WHEN insufficient_privilege OR undefined_object THEN
        RAISE NOTICE 'role millrace_app was not set up: %', SQLERRM;
END $$;

-- migrate:down

DO $$
BEGIN
    REVOKE ALL ON ALL TABLES IN SCHEMA public FROM millrace_app;
    REVOKE ALL ON ALL SEQUENCES IN SCHEMA public FROM millrace_app;
EXCEPTION
    WHEN insufficient_privilege OR undefined_object THEN
        RAISE NOTICE 'role millrace_app was not set up: %', SQLERRM;
END $$;
