-- name: standing_deposits
-- Which of these deposits are confirmed in just this revision.
SELECT d.deposit_id
FROM deposits AS d
INNER JOIN
    unnest(:deposit_ids::bigint [], :revisions::integer []) AS f (deposit_id, revision)
    ON d.deposit_id = f.deposit_id AND d.revision = f.revision
WHERE d.status = 'confirmed';

-- name: standing_withdrawals
-- Which of these withdrawals have just this status in just this revision.
SELECT w.withdrawal_id
FROM withdrawals AS w
INNER JOIN
    unnest(:withdrawal_ids::bigint [], :revisions::integer [], :statuses::text [])
        AS f (withdrawal_id, revision, status)
    ON
        w.withdrawal_id = f.withdrawal_id
        AND w.revision = f.revision
        AND w.status = f.status;
