-- name: store_events!
-- Keep events and make a delivery to each enabled endpoint of the tenant that wants the type. An event
-- that is there already makes none, so storing it again is harmless. An event of a tenant that nobody
-- took in (the answer to a command with a misspelt one) has no reader, and stays on the topic alone.
-- Endpoints are locked against being disabled, always in the same order: a delivery made while its
-- endpoint is being disabled would be cancelled by nobody and wait for ever.
WITH stored AS (
    INSERT INTO events (event_id, tenant, type, payload, created_at)
    SELECT
        incoming.event_id,
        incoming.tenant,
        incoming.type,
        incoming.payload,
        :now::timestamptz
    FROM
        unnest(:event_ids::text [], :tenants::text [], :types::text [], :payloads::bytea [])
            AS incoming (event_id, tenant, type, payload)
    INNER JOIN tenants ON incoming.tenant = tenants.tenant
    ON CONFLICT (event_id) DO NOTHING
    RETURNING event_id, tenant, type
)

INSERT INTO deliveries (event_id, endpoint_id, next_attempt_at)
SELECT
    stored.event_id,
    endpoints.endpoint_id,
    now()
FROM stored
INNER JOIN endpoints ON stored.tenant = endpoints.tenant
WHERE
    endpoints.disabled_at IS NULL
    AND (endpoints.event_types IS NULL OR stored.type = ANY(endpoints.event_types))
ORDER BY endpoints.endpoint_id, stored.event_id
FOR SHARE OF endpoints;

-- name: store_test<!
-- Keep a test event and make its one delivery. Returns nothing if the tenant has no such endpoint, or
-- if it is disabled.
WITH target AS (
    SELECT endpoint_id FROM endpoints
    WHERE
        endpoint_id = :endpoint_id::text
        AND tenant = :tenant::text
        AND disabled_at IS NULL
    FOR SHARE
),

stored AS (
    INSERT INTO events (event_id, tenant, type, payload, created_at)
    SELECT
        :event_id::text,
        :tenant::text,
        'webhook.test',
        :payload::bytea,
        :now::timestamptz
    FROM target
    RETURNING event_id
)

INSERT INTO deliveries (event_id, endpoint_id, next_attempt_at)
SELECT
    stored.event_id,
    target.endpoint_id,
    now()
FROM stored CROSS JOIN target
RETURNING delivery_id;

-- name: replay_events
-- Make new deliveries of kept events: of these ids, or of a span of time, or both. NULL: no limit.
-- Tests are not for other endpoints and are never replayed.
WITH enabled AS (
    SELECT
        endpoint_id,
        tenant,
        event_types
    FROM endpoints
    WHERE
        tenant = :tenant::text
        AND (:endpoint_id::text IS NULL OR endpoint_id = :endpoint_id::text)
        AND disabled_at IS NULL
    ORDER BY endpoint_id
    FOR SHARE
)

INSERT INTO deliveries (event_id, endpoint_id, replay, next_attempt_at)
SELECT
    events.event_id,
    enabled.endpoint_id,
    coalesce(
        (
            SELECT max(earlier.replay) + 1 FROM deliveries AS earlier
            WHERE
                earlier.event_id = events.event_id
                AND earlier.endpoint_id = enabled.endpoint_id
        ), 0
    ),
    now()
FROM events
INNER JOIN enabled ON events.tenant = enabled.tenant
WHERE
    events.tenant = :tenant::text
    AND (:event_ids::text [] IS NULL OR events.event_id = ANY(:event_ids::text []))
    AND (:since::timestamptz IS NULL OR events.created_at >= :since::timestamptz)
    AND (:until::timestamptz IS NULL OR events.created_at < :until::timestamptz)
    AND (enabled.event_types IS NULL OR events.type = ANY(enabled.event_types))
    AND events.type <> 'webhook.test'
ORDER BY events.created_at, events.event_id
ON CONFLICT (event_id, endpoint_id, replay) DO NOTHING
RETURNING delivery_id;

-- name: prune_events
-- Forget the oldest events of before a moment, with their deliveries and attempts, some at a time. What
-- is still to be delivered is kept, be it because nobody delivered for so long or a clock was wrong.
-- count(): looked up event by event, the oldest first. For EXISTS all events there are would be read.
DELETE FROM events
WHERE event_id = ANY(ARRAY(
    SELECT oldest.event_id FROM events AS oldest
    WHERE
        oldest.created_at < :before::timestamptz
        AND 0 = (
            SELECT count(*) FROM deliveries
            WHERE deliveries.event_id = oldest.event_id AND deliveries.state = 'pending'
        )
    ORDER BY oldest.created_at
    LIMIT :limit_rows::bigint
))
RETURNING event_id;

-- name: renew_worker!
-- Say that this worker is alive; its claims are its own for another lease. Who died before the clock was
-- set back would seem to live until it has caught up.
WITH set_back AS (
    DELETE FROM delivery_workers
    WHERE
        worker <> :worker::uuid
        AND expires_at > clock_timestamp() + make_interval(secs => 10 * :lease_s::double precision)
)

INSERT INTO delivery_workers (worker, expires_at)
VALUES (:worker::uuid, clock_timestamp() + make_interval(secs => :lease_s::double precision))
ON CONFLICT (worker) DO UPDATE SET expires_at = excluded.expires_at;

-- name: retire_workers!
-- Forget workers whose lease is over, and this one; what they had in hand is free.
DELETE FROM delivery_workers WHERE worker = :worker::uuid OR expires_at <= clock_timestamp();

-- name: claim_deliveries
-- Take due deliveries for this worker: of each endpoint the oldest ones, no more than the endpoint has
-- room for, so that a backlog of one cannot crowd out the others; and of each tenant no more than half
-- of what is free beyond what the worker has of it, so that nobody leaves less free than he takes. The
-- endpoints that wait are found by skipping through the index, one probe each, however many deliveries
-- they have. What a dead worker has claimed is free, and so is what this one claimed under an earlier
-- lease. A worker that began after this statement did is none of `live`, but may have claimed a row
-- before it is locked here: so who seems dead is looked up once more. The commit is not waited for: a
-- claim lost with the server costs a repeated webhook at most.
WITH RECURSIVE waiting AS (
    (
        SELECT endpoint_id FROM deliveries
        WHERE state = 'pending'
        ORDER BY endpoint_id
        LIMIT 1
    )
    UNION ALL
    SELECT (
        SELECT further.endpoint_id FROM deliveries AS further
        WHERE
            further.state = 'pending'
            AND further.endpoint_id > waiting.endpoint_id
        ORDER BY further.endpoint_id
        LIMIT 1
    )
    FROM waiting
    WHERE waiting.endpoint_id IS NOT NULL
),

ready AS (
    SELECT
        endpoints.endpoint_id,
        endpoints.tenant,
        coalesce(busy.room, :room_default::integer) AS room,
        (:limit_rows::bigint - coalesce(held.deliveries, 0) + 1) / 2 AS tenant_room
    FROM waiting
    INNER JOIN endpoints ON waiting.endpoint_id = endpoints.endpoint_id
    CROSS JOIN (SELECT set_config('synchronous_commit', 'off', TRUE)) AS unhurried
    LEFT JOIN unnest(:busy_ids::text [], :rooms::integer []) AS busy (endpoint_id, room)
        ON endpoints.endpoint_id = busy.endpoint_id
    LEFT JOIN
        unnest(:held_tenants::text [], :held_counts::integer []) AS held (tenant, deliveries)
        ON endpoints.tenant = held.tenant
    WHERE
        endpoints.disabled_at IS NULL
        AND (endpoints.paused_until IS NULL OR endpoints.paused_until <= now())
),

live AS (
    SELECT worker FROM delivery_workers WHERE expires_at > clock_timestamp()
),

oldest_first AS (
    SELECT
        oldest.delivery_id,
        ready.tenant_room,
        row_number() OVER (PARTITION BY ready.tenant ORDER BY oldest.next_attempt_at) AS place
    FROM ready
    CROSS JOIN LATERAL (
        SELECT
            candidate.delivery_id,
            candidate.next_attempt_at
        FROM deliveries AS candidate
        WHERE
            candidate.endpoint_id = ready.endpoint_id
            AND candidate.state = 'pending'
            AND (
                candidate.claimed_by IS NULL
                OR (
                    candidate.claimed_by <> ALL(ARRAY(SELECT live.worker FROM live))
                    AND NOT is_delivering(candidate.claimed_by)
                )
            )
            AND candidate.next_attempt_at <= now()
        ORDER BY candidate.next_attempt_at
        LIMIT ready.room
        FOR UPDATE SKIP LOCKED
    ) AS oldest
),

due AS (
    SELECT delivery_id FROM oldest_first
    WHERE place <= tenant_room
    ORDER BY place
    LIMIT :limit_rows::bigint
)

-- ARRAY, and a SELECT for the payload: looked up one by one, whatever a plan expects that was made without
-- the limit's value, or when there were no events. Joined, all events there are would be read.
UPDATE deliveries SET claimed_by = :worker::uuid
FROM endpoints
WHERE
    deliveries.delivery_id = ANY(ARRAY(SELECT due.delivery_id FROM due))
    AND deliveries.endpoint_id = endpoints.endpoint_id
RETURNING
    deliveries.delivery_id,
    deliveries.attempts,
    deliveries.event_id,
    (SELECT events.payload FROM events WHERE events.event_id = deliveries.event_id) AS payload,
    deliveries.endpoint_id,
    endpoints.url,
    endpoints.secret,
    CASE
        WHEN endpoints.previous_secret_until > now() THEN endpoints.previous_secret
    END AS previous_secret,
    endpoints.failing_since IS NOT NULL AS failing,
    endpoints.tenant;

-- name: return_claims!
-- Give deliveries back unsent.
UPDATE deliveries SET claimed_by = NULL
WHERE delivery_id = ANY(:delivery_ids::bigint []) AND claimed_by = :worker::uuid;

-- name: record_outcomes!
-- Write what came of many attempts. A worker that lost its claim meanwhile has no say, unless it
-- delivered: that is a fact whoever did it.
WITH outcome AS (
    SELECT
        o.delivery_id,
        o.state,
        o.delay_s,
        o.started_at,
        o.duration_s,
        o.status,
        o.error,
        o.response
    FROM
        unnest(
            :delivery_ids::bigint [],
            :states::text [],
            :delays_s::double precision [],
            :started_ats::timestamptz [],
            :durations_s::double precision [],
            :statuses::smallint [],
            :errors::text [],
            :responses::text []
        )
            AS o (
                delivery_id, state, delay_s, started_at, duration_s, status, error, response
            )
),

settled AS (
    UPDATE deliveries SET
        state = outcome.state,
        attempts = deliveries.attempts + 1,
        next_attempt_at = now() + make_interval(secs => outcome.delay_s),
        claimed_by = NULL,
        last_error = outcome.error,
        delivered_at = CASE
            WHEN outcome.state = 'delivered'
                THEN outcome.started_at + make_interval(secs => outcome.duration_s)
        END
    FROM outcome
    WHERE
        deliveries.delivery_id = outcome.delivery_id
        AND deliveries.state <> 'delivered'
        AND (deliveries.claimed_by = :worker::uuid OR outcome.state = 'delivered')
    RETURNING deliveries.delivery_id, deliveries.attempts
)

INSERT INTO delivery_attempts (
    delivery_id, attempt, started_at, duration_s, status, error, response
)
SELECT
    settled.delivery_id,
    settled.attempts,
    outcome.started_at,
    outcome.duration_s,
    outcome.status,
    outcome.error,
    outcome.response
FROM settled
INNER JOIN outcome ON settled.delivery_id = outcome.delivery_id;

-- name: record_health!
-- Remember since when endpoints have been failing, and which want to be left alone for a while; not what
-- an address said that is another one by now. They are locked in the order in which whoever plans
-- deliveries locks them.
WITH locked AS (
    SELECT endpoint_id FROM endpoints
    WHERE endpoint_id = ANY(:endpoint_ids::text [])
    ORDER BY endpoint_id
    FOR NO KEY UPDATE
)

UPDATE endpoints SET
    failing_since = CASE
        WHEN NOT health.succeeded THEN coalesce(endpoints.failing_since, now())
    END,
    paused_until = greatest(endpoints.paused_until, now() + make_interval(secs => health.pause_s))
FROM
    unnest(
        :endpoint_ids::text [],
        :urls::text [],
        :succeeded::boolean [],
        :pauses_s::double precision []
    ) AS health (endpoint_id, url, succeeded, pause_s)
INNER JOIN locked ON health.endpoint_id = locked.endpoint_id
WHERE endpoints.endpoint_id = health.endpoint_id AND endpoints.url = health.url;

-- name: disable_endpoints
-- Disable endpoints that are gone, and of the failing ones those that have been so for too long; as above
-- by their addresses.
UPDATE endpoints SET
    disabled_at = now(),
    disabled_reason = CASE WHEN health.gone THEN 'gone' ELSE 'failing' END
FROM
    unnest(
        :endpoint_ids::text [],
        :urls::text [],
        :succeeded::boolean [],
        :gone::boolean []
    ) AS health (endpoint_id, url, succeeded, gone)
WHERE
    endpoints.endpoint_id = health.endpoint_id
    AND endpoints.url = health.url
    AND endpoints.disabled_at IS NULL
    AND (
        health.gone
        OR (
            NOT health.succeeded
            AND endpoints.failing_since <= now() - make_interval(secs => :failing_s::double precision)
        )
    )
RETURNING
    endpoints.endpoint_id,
    endpoints.tenant,
    endpoints.url,
    endpoints.disabled_reason,
    coalesce(endpoints.failing_since, now()) AS failing_since;

-- name: cancel_deliveries!
-- Give up what was still to be brought to these endpoints.
UPDATE deliveries SET
    state = 'cancelled',
    claimed_by = NULL,
    last_error = 'endpoint disabled'
WHERE endpoint_id = ANY(:endpoint_ids::text []) AND state = 'pending';

-- name: list_deliveries
-- A tenant's deliveries, newest first; NULL filters nothing. Page on with the last delivery_id.
SELECT
    deliveries.delivery_id,
    deliveries.event_id,
    events.type,
    deliveries.endpoint_id,
    deliveries.replay,
    deliveries.state,
    deliveries.attempts,
    deliveries.next_attempt_at,
    deliveries.last_error,
    deliveries.delivered_at
FROM deliveries
INNER JOIN events ON deliveries.event_id = events.event_id
WHERE
    events.tenant = :tenant::text
    AND (:endpoint_id::text IS NULL OR deliveries.endpoint_id = :endpoint_id::text)
    AND (:event_id::text IS NULL OR deliveries.event_id = :event_id::text)
    AND (:state::text IS NULL OR deliveries.state = :state::text)
    AND (:before_id::bigint IS NULL OR deliveries.delivery_id < :before_id::bigint)
ORDER BY deliveries.delivery_id DESC
LIMIT :limit_rows::bigint;

-- name: list_attempts
-- The log of one delivery of a tenant, first attempt first.
SELECT
    delivery_attempts.attempt,
    delivery_attempts.started_at,
    delivery_attempts.duration_s,
    delivery_attempts.status,
    delivery_attempts.error,
    delivery_attempts.response
FROM delivery_attempts
INNER JOIN deliveries ON delivery_attempts.delivery_id = deliveries.delivery_id
INNER JOIN events ON deliveries.event_id = events.event_id
WHERE delivery_attempts.delivery_id = :delivery_id::bigint AND events.tenant = :tenant::text
ORDER BY delivery_attempts.attempt;

-- name: measure_deliveries^
-- How much waits, for how long the most overdue has, and how many endpoints were given up.
SELECT
    (SELECT count(*) FROM deliveries WHERE state = 'pending') AS pending,
    (
        SELECT
            coalesce(extract(EPOCH FROM greatest(now() - min(next_attempt_at), '0')), 0)
        FROM deliveries
        WHERE state = 'pending'
    )::double precision AS oldest_due_s,
    (
        SELECT count(*) FROM endpoints WHERE disabled_reason IN ('gone', 'failing')
    ) AS endpoints_disabled;
