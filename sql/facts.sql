-- name: standing_deposits
-- Which of these deposits are confirmed in just this revision, and stay so until this transaction
-- ends: an orphaning waits, and so its reversal comes after the credit in any case.
SELECT
    d.deposit_id,
    d.revision
FROM deposits AS d
INNER JOIN
    unnest(:deposit_ids::text::bigint [], :revisions::text::integer [])
        AS f (deposit_id, revision)
    ON d.deposit_id = f.deposit_id AND d.revision = f.revision
WHERE d.status = 'confirmed'
ORDER BY d.deposit_id
FOR SHARE OF d;

-- name: confirmed_again
-- Deposits that are confirmed now in a later revision than these.
SELECT
    d.deposit_id,
    d.revision,
    d.tenant,
    d.owner,
    d.purpose,
    d.asset,
    d.amount_minor::text AS amount_minor,
    d.network,
    d.address,
    d.transaction_id,
    d.transfer_index,
    d.height,
    d.memo,
    d.status,
    d.ignored_reason,
    d.sender,
    d.contract,
    d.confirm_height,
    d.block_id
FROM deposits AS d
INNER JOIN
    unnest(:deposit_ids::bigint [], :revisions::integer []) AS f (deposit_id, revision)
    ON d.deposit_id = f.deposit_id AND d.revision > f.revision
WHERE d.status = 'confirmed'
ORDER BY d.deposit_id;

-- name: standing_costs
-- Which of these network costs are confirmed in just this revision, and stay so until this
-- transaction ends.
SELECT
    c.cost_id,
    c.revision
FROM network_costs AS c
INNER JOIN
    unnest(:cost_ids::bigint [], :revisions::integer []) AS f (cost_id, revision)
    ON c.cost_id = f.cost_id AND c.revision = f.revision
WHERE c.status = 'confirmed'
ORDER BY c.cost_id
FOR SHARE OF c;

-- name: standing_withdrawals
-- Which of these withdrawals have just this status in just this revision, and keep it until this
-- transaction ends.
SELECT
    w.withdrawal_id,
    w.revision,
    w.status
FROM withdrawals AS w
INNER JOIN
    unnest(:withdrawal_ids::bigint [], :revisions::integer [], :statuses::text [])
        AS f (withdrawal_id, revision, status)
    ON
        w.withdrawal_id = f.withdrawal_id
        AND w.revision = f.revision
        AND w.status = f.status
ORDER BY w.withdrawal_id
FOR SHARE OF w;
