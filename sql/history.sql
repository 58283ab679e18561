-- name: tell_time$
-- The moment by the clock that stamps nearly everything that is kept: a worker's own may be years off.
SELECT now();

-- name: prune_runs
-- Forget the oldest reconciliations of before a moment, with what they found, some at a time.
DELETE FROM reconciliations
WHERE run_id = any(ARRAY(
    SELECT oldest.run_id FROM reconciliations AS oldest
    WHERE oldest.finished_at < :before::timestamptz
    ORDER BY oldest.finished_at
    LIMIT :limit_rows::bigint
))
RETURNING run_id;

-- name: prune_dead_letters
-- Forget dead letters that were closed before a moment, some at a time. Open ones are kept for ever.
DELETE FROM dead_letters
WHERE id = any(ARRAY(
    SELECT oldest.id FROM dead_letters AS oldest
    WHERE oldest.closed_at < :before::timestamptz
    ORDER BY oldest.closed_at
    LIMIT :limit_rows::bigint
))
RETURNING id;
