-- migrate:up

-- The double-entry ledger. The only way to move money is to insert journal lines: triggers carry them
-- into the balances and refuse whatever does not fit, whoever connects. Only who may disable triggers
-- (the owner of the tables and superusers) can get round them.

-- What an account may be for. New purposes are new rows; a row in use never changes.
CREATE TABLE buckets (
    bucket text PRIMARY KEY,
    kind text NOT NULL CHECK (kind IN ('asset', 'liability', 'equity', 'revenue', 'expense')),
    of_user boolean NOT NULL,        -- kept for each user, else for the tenant itself
    -- True where a fact of the chain must be postable although our books did not expect it.
    may_be_negative boolean NOT NULL,
    meaning text NOT NULL,
    CHECK (NOT (kind = 'liability' AND may_be_negative))
);

INSERT INTO buckets (bucket, kind, of_user, may_be_negative, meaning) VALUES
('available', 'liability', true, false, 'the user may spend or withdraw it'),
('locked', 'liability', true, false, 'held for a bid or an escrow'),
('pending', 'liability', true, false, 'in withdrawals that are not settled yet'),
('receivable', 'asset', true, false, 'the user owes it: a reorganised credit was already spent'),
('deposit_wallets', 'asset', false, true, 'on deposit addresses'),
('hot_wallet', 'asset', false, true, 'on the hot wallet, pays withdrawals'),
('cold_wallet', 'asset', false, true, 'on cold wallets'),
('gas_wallet', 'asset', false, true, 'on gas wallets, pays for sweeps'),
('network_fees', 'expense', false, true, 'paid to the network'),
('withdrawal_fees', 'revenue', false, true, 'earned from users for withdrawals'),
('capital', 'equity', false, true, 'put in by the tenant itself'),
('suspense', 'liability', false, false, 'received, belongs to nobody known');

-- One balance of one owner in one asset. The empty owner is the tenant itself.
-- balance_minor is in the account's normal side: debits - credits for assets and expenses,
-- credits - debits for the others. last_entry_id and last_line name the journal line that made it.
-- What changes and what has a fixed width stands first: a row is rewritten with every line.
CREATE TABLE accounts (
    -- Random, so that an id remembered from another database, from before a restore or from a
    -- transaction that was rolled back names nothing here, never somebody else's account. Odd if debits
    -- make the balance grow, so that a line tells by itself which way it moves a balance.
    account_id bigint PRIMARY KEY DEFAULT
    ('x' || encode(substr(uuid_send(gen_random_uuid()), 9), 'hex'))::bit(64)::bigint
    & 9223372036854775806,
    last_entry_id bigint NOT NULL DEFAULT 0,
    last_line smallint NOT NULL DEFAULT 0,
    may_be_negative boolean NOT NULL, -- copied from buckets when the account is opened
    debit_normal boolean NOT NULL,    -- whether debits make the balance grow, by its kind
    balance_minor minor_units NOT NULL DEFAULT 0,
    tenant text NOT NULL REFERENCES tenants,
    asset text NOT NULL REFERENCES assets,
    owner text NOT NULL CHECK (length(owner) <= 128),
    bucket text NOT NULL,             -- of buckets
    kind text NOT NULL,               -- copied from there when the account is opened
    frozen_at timestamptz,
    frozen_reason text CHECK (length(frozen_reason) <= 300),
    -- The operator, NULL if the ledger did it for a debt.
    frozen_by text CHECK (length(frozen_by) <= 128),
    UNIQUE (tenant, owner, asset, bucket),
    CHECK (may_be_negative OR balance_minor >= 0),
    CHECK ((account_id & 1 = 1) = debit_normal),
    CHECK (debit_normal = (kind IN ('asset', 'expense'))),
    CHECK ((frozen_at IS NULL) = (frozen_reason IS NULL))
) WITH (fillfactor = 50); -- room for updates in place: balances change, keys do not

CREATE SEQUENCE journal_entry_ids AS bigint;

-- One row moves one amount from one account to another, so an entry balances by construction.
-- An entry of several lines is several rows with the same entry_id, lines numbered from 0.
-- Entry ids grow in the order in which each account was changed.
CREATE TABLE journal_lines (
    entry_id bigint NOT NULL CHECK (entry_id > 0),
    line smallint NOT NULL CHECK (line >= 0),
    debit_account bigint NOT NULL,
    credit_account bigint NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    tenant text NOT NULL,
    asset text NOT NULL,
    kind text NOT NULL,
    idempotency_key text COLLATE "C" NOT NULL CHECK (idempotency_key <> ''),
    amount_minor minor_units NOT NULL CHECK (amount_minor > 0),
    debit_balance_after minor_units NOT NULL,
    credit_balance_after minor_units NOT NULL,
    reference_type text NOT NULL,
    reference_id text NOT NULL,
    metadata jsonb,
    PRIMARY KEY (entry_id, line),
    CHECK (debit_account <> credit_account)
-- While a table is analysed, old versions of accounts pile up; what is learnt of the journal stays true.
) WITH (autovacuum_analyze_scale_factor = 1);
CREATE UNIQUE INDEX journal_lines_key ON journal_lines (idempotency_key, tenant) WHERE line = 0;
CREATE INDEX journal_lines_debit ON journal_lines (debit_account, entry_id);
CREATE INDEX journal_lines_credit ON journal_lines (credit_account, entry_id);

-- Guards ------------------------------------------------------------------------------------------

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% of % is not allowed', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'integrity_constraint_violation';
END $$;

CREATE TRIGGER journal_lines_immutable BEFORE UPDATE OR DELETE OR TRUNCATE ON journal_lines
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE TRIGGER buckets_immutable BEFORE UPDATE OR DELETE OR TRUNCATE ON buckets
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE TRIGGER accounts_permanent BEFORE DELETE OR TRUNCATE ON accounts
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- Who an account belongs to never changes, and its history only grows.
CREATE TRIGGER accounts_identity
BEFORE UPDATE OF account_id, tenant, owner, asset, bucket, kind, debit_normal, may_be_negative
ON accounts
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE TRIGGER accounts_forward AFTER UPDATE ON accounts
FOR EACH ROW WHEN ((new.last_entry_id, new.last_line) < (old.last_entry_id, old.last_line))
EXECUTE FUNCTION refuse_change();

-- An account starts empty and is what its bucket says.
CREATE FUNCTION open_account() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = public, pg_temp AS $$
DECLARE
    of_user boolean;
BEGIN
    IF NEW.balance_minor <> 0 OR NEW.last_entry_id <> 0 OR NEW.last_line <> 0 THEN
        RAISE EXCEPTION 'an account starts with a balance of 0'
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    SELECT b.kind, b.may_be_negative, b.of_user INTO NEW.kind, NEW.may_be_negative, of_user
    FROM buckets AS b WHERE b.bucket = NEW.bucket;
    NEW.debit_normal = NEW.kind IN ('asset', 'expense');
    NEW.account_id = NEW.account_id & ~1::bigint | NEW.debit_normal::integer;
    IF of_user IS DISTINCT FROM (NEW.owner <> '') THEN
        RAISE EXCEPTION 'bucket % does not fit owner "%"', NEW.bucket, NEW.owner
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER accounts_open BEFORE INSERT ON accounts
FOR EACH ROW EXECUTE FUNCTION open_account();

-- A balance is what a journal line says it is.
CREATE FUNCTION prove_balances() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = public, pg_temp
SET enable_hashjoin = off SET enable_mergejoin = off SET enable_seqscan = off AS $$
BEGIN
    IF EXISTS (
        SELECT FROM changed AS a
        LEFT JOIN journal_lines AS l ON l.entry_id = a.last_entry_id AND l.line = a.last_line
        WHERE a.balance_minor IS DISTINCT FROM CASE a.account_id
            WHEN l.debit_account THEN l.debit_balance_after
            WHEN l.credit_account THEN l.credit_balance_after
            ELSE CASE WHEN a.last_entry_id = 0 THEN 0 END
        END
    ) THEN
        RAISE EXCEPTION 'balances change by journal lines only'
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER accounts_prove AFTER UPDATE ON accounts REFERENCING NEW TABLE AS changed
FOR EACH STATEMENT EXECUTE FUNCTION prove_balances();

-- Carry new lines into the balances. Refuses the whole statement unless the lines of each account, in
-- the order of entry_id and line, continue each other exactly, come after all it had, never take it
-- below what it may hold and are of its tenant and asset. That the first one continues the balance
-- follows: the balance grows by the sum of the lines, and prove_balances holds it against the last.
-- Joins other than by index are off because the plan is kept for the life of a connection, and one
-- made while the tables were small would be quadratic later.
CREATE FUNCTION apply_journal_lines() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = public, pg_temp
SET enable_hashjoin = off SET enable_mergejoin = off SET enable_seqscan = off AS $$
DECLARE
    sides_inserted bigint;
    sides_applied bigint;
    more_lines boolean;
BEGIN
    WITH sides AS (
        SELECT
            debit_account AS account_id, tenant, asset, entry_id * 32768 + line AS posting,
            CASE debit_account & 1 WHEN 1 THEN amount_minor ELSE -amount_minor END AS change,
            debit_balance_after AS balance_after
        FROM inserted
        UNION ALL
        SELECT
            credit_account, tenant, asset, entry_id * 32768 + line,
            CASE credit_account & 1 WHEN 1 THEN -amount_minor ELSE amount_minor END,
            credit_balance_after
        FROM inserted
    ),
    chained AS (
        SELECT *, lag(balance_after) OVER (PARTITION BY account_id ORDER BY posting) AS previous
        FROM sides
    ),
    steps AS (
        SELECT
            account_id,
            count(*) AS sides,
            min(tenant) AS tenant,
            max(tenant) AS tenant_too,
            min(asset) AS asset,
            max(asset) AS asset_too,
            min(posting) AS first_posting,
            max(posting) AS last_posting,
            max(posting & 32767) AS highest_line,
            sum(change) AS change,
            min(balance_after) AS lowest,
            coalesce(bool_and(balance_after = previous + change), true) AS unbroken
        FROM chained GROUP BY account_id
    ),
    applied AS (
        UPDATE accounts AS a
        SET
            balance_minor = a.balance_minor + s.change,
            last_entry_id = s.last_posting >> 15,
            last_line = s.last_posting & 32767
        FROM steps AS s
        WHERE
            a.account_id = s.account_id
            AND s.unbroken
            AND a.last_entry_id < s.first_posting >> 15
            AND (a.may_be_negative OR s.lowest >= 0)
            -- one expression, so that no index but that of account_id can serve
            AND (a.tenant, a.asset, a.tenant, a.asset)
            IS NOT DISTINCT FROM (s.tenant, s.asset, s.tenant_too, s.asset_too)
        RETURNING s.sides
    )
    SELECT sum(sides), coalesce(max(highest_line), 0) > 0, (SELECT sum(sides) FROM applied)
    INTO sides_inserted, more_lines, sides_applied
    FROM steps;
    IF sides_applied IS DISTINCT FROM sides_inserted THEN
        RAISE EXCEPTION 'journal lines do not continue the balances of their accounts'
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    IF more_lines AND EXISTS (
        SELECT FROM (
            SELECT
                line,
                (tenant, kind, idempotency_key, line - 1) IS NOT DISTINCT FROM (
                    lag(tenant) OVER entry, lag(kind) OVER entry,
                    lag(idempotency_key) OVER entry, lag(line) OVER entry
                ) AS follows
            FROM inserted WINDOW entry AS (PARTITION BY entry_id ORDER BY line)
        ) AS l WHERE line > 0 AND NOT follows
    ) THEN
        RAISE EXCEPTION 'an entry is inserted whole, its lines numbered from 0'
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER journal_lines_apply AFTER INSERT ON journal_lines REFERENCING NEW TABLE AS inserted
FOR EACH STATEMENT EXECUTE FUNCTION apply_journal_lines();

-- Views -------------------------------------------------------------------------------------------

-- Every account with its code, unique within the tenant (assets and buckets hold no colon).
CREATE VIEW account_codes AS
SELECT
    account_id,
    tenant,
    asset || ':' || bucket || CASE WHEN owner = '' THEN '' ELSE ':' || owner END AS code,
    kind,
    owner,
    asset,
    bucket,
    balance_minor
FROM accounts;

CREATE VIEW journal_entries AS
SELECT
    entry_id,
    tenant,
    kind,
    idempotency_key,
    reference_type,
    reference_id,
    metadata,
    created_at
FROM journal_lines
WHERE line = 0;

-- Two postings a line. balance_after is the account's balance once the line was applied.
CREATE VIEW postings AS
SELECT
    entry_id,
    line,
    tenant,
    debit_account AS account_id,
    'debit' AS side,
    amount_minor,
    debit_balance_after AS balance_after,
    created_at
FROM journal_lines
UNION ALL
SELECT
    entry_id,
    line,
    tenant,
    credit_account AS account_id,
    'credit' AS side,
    amount_minor,
    credit_balance_after AS balance_after,
    created_at
FROM journal_lines;

-- What each user has. version grows with every change.
CREATE VIEW balances AS
SELECT
    tenant,
    owner,
    asset,
    coalesce(sum(balance_minor) FILTER (WHERE bucket = 'available'), 0) AS available_minor,
    coalesce(sum(balance_minor) FILTER (WHERE bucket = 'locked'), 0) AS locked_minor,
    coalesce(sum(balance_minor) FILTER (WHERE bucket = 'pending'), 0) AS pending_minor,
    coalesce(sum(balance_minor) FILTER (WHERE bucket IN ('available', 'locked', 'pending')), 0)
        AS total_minor,
    coalesce(sum(balance_minor) FILTER (WHERE bucket = 'receivable'), 0) AS receivable_minor,
    min(frozen_at) AS frozen_at,
    min(frozen_reason) AS frozen_reason,
    max(last_entry_id) AS version
FROM accounts
WHERE owner <> ''
GROUP BY tenant, owner, asset;

-- Debits and credits of each tenant and asset, from the balances. difference_minor is always 0.
CREATE VIEW trial_balance AS
SELECT
    tenant,
    asset,
    sum(CASE WHEN debit_normal = (balance_minor >= 0) THEN abs(balance_minor) ELSE 0 END)
        AS debits_minor,
    sum(CASE WHEN debit_normal = (balance_minor >= 0) THEN 0 ELSE abs(balance_minor) END)
        AS credits_minor,
    sum(CASE WHEN debit_normal THEN balance_minor ELSE 0 END) AS assets_and_expenses_minor,
    sum(CASE WHEN debit_normal THEN 0 ELSE balance_minor END)
        AS liabilities_equity_and_revenue_minor,
    sum(CASE WHEN debit_normal THEN balance_minor ELSE -balance_minor END) AS difference_minor
FROM accounts
GROUP BY tenant, asset;

-- migrate:down

DROP VIEW trial_balance, balances, postings, journal_entries, account_codes;
DROP TABLE journal_lines, accounts, buckets;
DROP SEQUENCE journal_entry_ids;
DROP FUNCTION apply_journal_lines, prove_balances, open_account, refuse_change;
