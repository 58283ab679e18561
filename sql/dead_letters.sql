-- name: find_dead_letter^
-- One dead letter that nobody has redriven.
SELECT
    id,
    stage,
    topic,
    partition,
    record_offset,
    key,
    payload,
    error,
    created_at
FROM dead_letters
WHERE id = :letter_id::bigint AND redriven_at IS NULL;
