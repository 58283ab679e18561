-- name: open_accounts
-- The ids of accounts, in no order. Those that do not exist are opened, in one order for everybody.
-- Left out are those of unknown tenants and assets, and what somebody else opens at this moment.
WITH opened AS (
    INSERT INTO accounts (tenant, owner, asset, bucket)
    SELECT w.tenant, w.owner, w.asset, w.bucket
    FROM
        unnest(:tenants::text [], :owners::text [], :assets::text [], :buckets::text [])
            AS w (tenant, owner, asset, bucket)
    INNER JOIN tenants ON w.tenant = tenants.tenant
    INNER JOIN assets ON w.asset = assets.asset
    ORDER BY w.tenant, w.owner, w.asset, w.bucket
    ON CONFLICT (tenant, owner, asset, bucket) DO NOTHING
    RETURNING account_id, tenant, owner, asset, bucket
)

SELECT
    opened.account_id,
    opened.tenant,
    opened.owner,
    opened.asset,
    opened.bucket
FROM opened
UNION ALL
SELECT
    a.account_id,
    a.tenant,
    a.owner,
    a.asset,
    a.bucket
FROM
    unnest(:tenants::text [], :owners::text [], :assets::text [], :buckets::text [])
        AS w (tenant, owner, asset, bucket)
INNER JOIN accounts AS a
    ON
        w.tenant = a.tenant AND w.owner = a.owner
        AND w.asset = a.asset AND w.bucket = a.bucket;

-- name: find_accounts
-- The ids of those accounts that exist. position is the place in the arrays, from 1.
SELECT
    w.position,
    a.account_id
FROM
    unnest(:tenants::text [], :owners::text [], :assets::text [], :buckets::text [])
    WITH ORDINALITY AS w (tenant, owner, asset, bucket, position)
INNER JOIN accounts AS a
    ON
        w.tenant = a.tenant AND w.owner = a.owner
        AND w.asset = a.asset AND w.bucket = a.bucket;

-- name: lock_accounts^
-- Lock accounts in the order of their ids, to prevent deadlocks, and return what they hold, an array a
-- column: one row is read quicker than hundreds. Amounts travel as text: decoding Decimals is slow.
-- Each id is looked up by itself, because for `= any` a plan that is kept compares every account with
-- every id. New entry ids are taken with the accounts locked, so that ids grow along each account.
SELECT
    locked.account_ids,
    locked.balances_minor,
    locked.frozen_reasons,
    coalesce(new.entry_ids, '{}') AS entry_ids
FROM (
    SELECT
        coalesce(array_agg(a.account_id), '{}') AS account_ids,
        coalesce(array_agg(a.balance_minor), '{}') AS balances_minor,
        coalesce(array_agg(a.frozen_reason), '{}') AS frozen_reasons,
        count(*) AS accounts
    FROM (SELECT unnest(:account_ids::text::bigint []) AS account_id ORDER BY 1) AS w
    CROSS JOIN LATERAL (
        SELECT
            accounts.account_id,
            accounts.balance_minor::text AS balance_minor,
            accounts.frozen_reason
        FROM accounts
        WHERE accounts.account_id = w.account_id
        FOR NO KEY UPDATE
    ) AS a
) AS locked
CROSS JOIN LATERAL (
    SELECT array_agg(nextval('journal_entry_ids')) AS entry_ids
    -- names the locked accounts, so that it comes after them
    FROM generate_series(1, CASE WHEN locked.accounts >= 0 THEN :entries::integer END)
) AS new;

-- name: insert_lines!
-- Append lines to the journal: an array a column.
INSERT INTO journal_lines (
    entry_id, line, debit_account, credit_account, amount_minor, debit_balance_after,
    credit_balance_after, tenant, asset, kind, idempotency_key, reference_type, reference_id, metadata
)
SELECT
    unnest(:entry_id::text::bigint []),
    unnest(:line::text::smallint []),
    unnest(:debit_account::text::bigint []),
    unnest(:credit_account::text::bigint []),
    unnest(:amount_minor::text::numeric []),
    unnest(:debit_balance_after::text::numeric []),
    unnest(:credit_balance_after::text::numeric []),
    unnest(:tenant::text::text []),
    unnest(:asset::text::text []),
    unnest(:kind::text::text []),
    unnest(:idempotency_key::text::text []),
    unnest(:reference_type::text::text []),
    unnest(:reference_id::text::text []),
    unnest(:metadata::text::jsonb []);

-- name: find_entries
-- The lines of those entries that are in the journal already, by tenant and idempotency key.
-- position is the place in the arrays, from 1.
SELECT
    w.position,
    l.entry_id,
    l.kind,
    d.owner AS debit_owner,
    d.bucket AS debit_bucket,
    c.owner AS credit_owner,
    c.bucket AS credit_bucket,
    c.asset,
    l.amount_minor::text AS amount_minor
FROM
    unnest(:tenants::text [], :idempotency_keys::text [])
    WITH ORDINALITY AS w (tenant, idempotency_key, position)
INNER JOIN journal_lines AS f
    ON w.tenant = f.tenant AND w.idempotency_key = f.idempotency_key AND f.line = 0
INNER JOIN journal_lines AS l ON f.entry_id = l.entry_id
INNER JOIN accounts AS d ON l.debit_account = d.account_id
INNER JOIN accounts AS c ON l.credit_account = c.account_id
ORDER BY l.entry_id, l.line;

-- name: freeze_accounts!
-- Stop money from leaving accounts. One frozen already keeps its first reason.
UPDATE accounts
SET frozen_at = now(), frozen_reason = :reason::text
WHERE account_id = any(:account_ids::bigint []) AND frozen_at IS NULL;

-- name: unfreeze_accounts!
-- Let go of accounts frozen for this reason; those frozen for another stay so.
UPDATE accounts
SET frozen_at = NULL, frozen_reason = NULL
WHERE account_id = any(:account_ids::bigint []) AND frozen_reason = :reason::text;

-- name: freeze_account!
-- Stop an owner's available money in one asset from leaving. A reason given before gives way.
UPDATE accounts
SET frozen_at = now(), frozen_reason = :reason::text, frozen_by = :frozen_by::text
WHERE
    tenant = :tenant::text AND owner = :owner::text
    AND asset = :asset::text AND bucket = 'available';

-- name: lock_available
-- Let nobody post to or freeze an owner's available money before this transaction ends.
SELECT account_id FROM accounts
WHERE
    tenant = :tenant::text AND owner = :owner::text
    AND asset = :asset::text AND bucket = 'available'
FOR NO KEY UPDATE;

-- name: unfreeze_account!
-- Let an owner's available money go, which the caller has locked. Who owes for a reorganised credit
-- stays frozen for that.
UPDATE accounts AS a
SET
    frozen_at = CASE WHEN d.balance_minor > 0 THEN a.frozen_at END,
    frozen_reason = CASE WHEN d.balance_minor > 0 THEN :debt_reason::text END,
    frozen_by = NULL
FROM accounts AS b
LEFT JOIN accounts AS d
    ON
        b.tenant = d.tenant AND b.owner = d.owner
        AND b.asset = d.asset AND d.bucket = 'receivable'
WHERE
    a.account_id = b.account_id AND a.frozen_at IS NOT NULL
    AND b.tenant = :tenant::text AND b.owner = :owner::text
    AND b.asset = :asset::text AND b.bucket = 'available';

-- name: fetch_freeze^
-- Why an owner's available money in one asset may not leave, and what the owner owes in it.
SELECT
    a.frozen_at,
    a.frozen_reason,
    a.frozen_by,
    coalesce(d.balance_minor, 0)::text AS receivable_minor
FROM accounts AS a
LEFT JOIN accounts AS d
    ON
        a.tenant = d.tenant AND a.owner = d.owner
        AND a.asset = d.asset AND d.bucket = 'receivable'
WHERE
    a.tenant = :tenant::text AND a.owner = :owner::text
    AND a.asset = :asset::text AND a.bucket = 'available';

-- name: fetch_balances
-- What an owner has, by asset.
SELECT
    asset,
    available_minor::text AS available_minor,
    locked_minor::text AS locked_minor,
    pending_minor::text AS pending_minor,
    total_minor::text AS total_minor,
    receivable_minor::text AS receivable_minor,
    frozen_at,
    frozen_reason,
    version
FROM balances
WHERE tenant = :tenant::text AND owner = :owner::text
ORDER BY asset;

-- name: fetch_account_balance$
-- The balance of one account in its normal side, NULL if it was never opened.
SELECT balance_minor::text AS balance_minor
FROM accounts
WHERE
    tenant = :tenant::text AND owner = :owner::text
    AND asset = :asset::text AND bucket = :bucket::text;

-- name: fetch_statement
-- The newest postings of one account below an entry, newest first. Entries are never split.
WITH account AS (
    SELECT account_id FROM accounts
    WHERE
        tenant = :tenant::text AND owner = :owner::text
        AND asset = :asset::text AND bucket = :bucket::text
)

SELECT
    page.entry_id,
    page.line,
    page.kind,
    page.side,
    page.amount_minor::text AS amount_minor,
    page.balance_after::text AS balance_after_minor,
    page.reference_type,
    page.reference_id,
    page.created_at
FROM (
    (
        SELECT
            l.entry_id, l.line, l.kind, 'debit' AS side, l.amount_minor,
            l.debit_balance_after AS balance_after,
            l.reference_type, l.reference_id, l.created_at
        FROM journal_lines AS l
        WHERE
            l.debit_account = (SELECT account_id FROM account)
            AND l.entry_id < :below_entry_id::bigint
        ORDER BY l.entry_id DESC
        FETCH FIRST (:limit_rows::bigint) ROWS WITH TIES
    )
    UNION ALL
    (
        SELECT
            l.entry_id, l.line, l.kind, 'credit' AS side, l.amount_minor,
            l.credit_balance_after AS balance_after,
            l.reference_type, l.reference_id, l.created_at
        FROM journal_lines AS l
        WHERE
            l.credit_account = (SELECT account_id FROM account)
            AND l.entry_id < :below_entry_id::bigint
        ORDER BY l.entry_id DESC
        FETCH FIRST (:limit_rows::bigint) ROWS WITH TIES
    )
) AS page
ORDER BY page.entry_id DESC
FETCH FIRST (:limit_rows::bigint) ROWS WITH TIES;

-- name: fetch_trial_balance
-- Debits and credits by tenant and asset. A NULL tenant means all of them.
SELECT
    tenant,
    asset,
    debits_minor::text AS debits_minor,
    credits_minor::text AS credits_minor,
    difference_minor::text AS difference_minor
FROM trial_balance
WHERE :tenant::text IS NULL OR tenant = :tenant::text
ORDER BY tenant, asset;

-- name: fetch_imbalances
-- Tenants and assets whose debits and credits differ: none, unless someone went round the guards.
SELECT
    tenant,
    asset,
    difference_minor::text AS difference_minor
FROM trial_balance
WHERE difference_minor <> 0
ORDER BY tenant, asset;

-- name: verify_ledger
-- Recompute every balance from the journal; return the accounts whose balance is another, and lines
-- whose accounts do not exist (account columns NULL). Reads the whole journal.
WITH totals AS (
    SELECT
        account_id,
        sum(CASE side WHEN 'debit' THEN amount_minor ELSE -amount_minor END) AS debits_less_credits
    FROM postings
    GROUP BY account_id
)

SELECT
    coalesce(a.account_id, t.account_id) AS account_id,
    a.tenant,
    a.owner,
    a.asset,
    a.bucket,
    a.balance_minor::text AS balance_minor,
    (CASE WHEN a.debit_normal THEN 1 ELSE -1 END * coalesce(t.debits_less_credits, 0))::text
        AS journal_minor
FROM accounts AS a
FULL JOIN totals AS t ON a.account_id = t.account_id
WHERE
    a.balance_minor IS DISTINCT FROM
    CASE WHEN a.debit_normal THEN 1 ELSE -1 END * coalesce(t.debits_less_credits, 0)
ORDER BY 1;

-- name: verify_running_balances
-- Of each account the first posting whose balance_after does not follow from the posting before.
-- Reads the whole journal.
SELECT DISTINCT ON (p.account_id)
    p.entry_id,
    p.line,
    a.tenant,
    a.owner,
    a.asset,
    a.bucket,
    p.balance_after::text AS balance_minor,
    (
        p.previous + CASE
            WHEN a.debit_normal = (p.side = 'debit') THEN p.amount_minor ELSE -p.amount_minor
        END
    )::text AS following_minor
FROM (
    SELECT
        account_id,
        entry_id,
        line,
        side,
        amount_minor,
        balance_after,
        lag(balance_after, 1, 0) OVER (PARTITION BY account_id ORDER BY entry_id, line) AS previous
    FROM postings
) AS p
INNER JOIN accounts AS a ON p.account_id = a.account_id
WHERE
    p.balance_after <> p.previous + CASE
        WHEN a.debit_normal = (p.side = 'debit') THEN p.amount_minor
        ELSE -p.amount_minor
    END
ORDER BY p.account_id, p.entry_id, p.line;
