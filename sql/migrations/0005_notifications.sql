-- migrate:up

-- What happened, exactly as its webhooks carry it. Kept 30 days.
CREATE TABLE events (
    event_id text PRIMARY KEY CHECK (length(event_id) <= 64), -- sorts by time
    tenant text NOT NULL REFERENCES tenants,
    type text NOT NULL,
    payload bytea NOT NULL, -- bytes, since the signature is over bytes
    created_at timestamptz NOT NULL
);
CREATE INDEX events_tenant ON events (tenant, created_at);
CREATE INDEX events_age ON events (created_at);

-- Where a tenant wants its events sent.
CREATE TABLE endpoints (
    endpoint_id text PRIMARY KEY,
    tenant text NOT NULL REFERENCES tenants,
    url text NOT NULL CHECK (length(url) <= 2048),
    event_types text [], -- NULL: every type
    secret bytea NOT NULL, -- encrypted
    -- During a rotation both secrets sign, until the old one's time is over.
    previous_secret bytea,
    previous_secret_until timestamptz,
    disabled_at timestamptz, -- NULL: enabled
    disabled_reason text CHECK (disabled_reason IN ('gone', 'failing', 'operator')),
    failing_since timestamptz, -- the first failure after the last success
    paused_until timestamptz, -- it asked to be left alone until then
    created_at timestamptz NOT NULL,
    CHECK ((disabled_at IS NULL) = (disabled_reason IS NULL)),
    CHECK ((previous_secret IS NULL) = (previous_secret_until IS NULL))
);
CREATE INDEX endpoints_tenant ON endpoints (tenant);

-- Workers that deliver. One that stops renewing loses its claims at expires_at.
CREATE TABLE delivery_workers (
    worker uuid PRIMARY KEY,
    expires_at timestamptz NOT NULL
);

-- Whether a worker is alive now, not when the statement that asks began: VOLATILE, so it looks anew.
CREATE FUNCTION is_delivering(asked uuid) RETURNS boolean VOLATILE LANGUAGE plpgsql AS $$
BEGIN
    RETURN EXISTS (
        SELECT FROM delivery_workers WHERE worker = asked AND expires_at > clock_timestamp()
    );
END $$;

-- One event to be brought to one endpoint. A replay is a delivery of its own.
CREATE TABLE deliveries (
    delivery_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    event_id text NOT NULL REFERENCES events ON DELETE CASCADE,
    endpoint_id text NOT NULL REFERENCES endpoints ON DELETE CASCADE,
    replay integer NOT NULL DEFAULT 0,
    -- failed: every attempt of the schedule is spent. cancelled: the endpoint was disabled.
    state text NOT NULL DEFAULT 'pending'
    CHECK (state IN ('pending', 'delivered', 'failed', 'cancelled')),
    attempts integer NOT NULL DEFAULT 0,
    next_attempt_at timestamptz NOT NULL,
    -- The worker that has it in hand; void once that worker's lease is over. In no index on purpose:
    -- with room left on a page to claim all that is on it, a claim is a heap-only update.
    claimed_by uuid,
    last_error text,
    delivered_at timestamptz,
    UNIQUE (event_id, endpoint_id, replay)
) WITH (fillfactor = 45);
CREATE INDEX deliveries_due ON deliveries (endpoint_id, next_attempt_at) WHERE state = 'pending';
CREATE INDEX deliveries_endpoint ON deliveries (endpoint_id, delivery_id);
-- What an operator looks for after trouble: few among very many.
CREATE INDEX deliveries_given_up ON deliveries (delivery_id) WHERE state IN ('failed', 'cancelled');

-- The log: one row per request sent, or refused before it was sent.
CREATE TABLE delivery_attempts (
    delivery_id bigint NOT NULL REFERENCES deliveries ON DELETE CASCADE,
    attempt integer NOT NULL, -- from 1
    started_at timestamptz NOT NULL,
    duration_s double precision NOT NULL,
    status smallint, -- of the HTTP response; NULL: there was none
    error text CHECK (length(error) <= 500), -- NULL: delivered
    response text CHECK (length(response) <= 1024), -- how the response began
    PRIMARY KEY (delivery_id, attempt)
);

CREATE FUNCTION announce_deliveries() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('deliveries', '');
    RETURN NULL;
END $$;

CREATE TRIGGER announce_deliveries AFTER INSERT ON deliveries
FOR EACH STATEMENT EXECUTE FUNCTION announce_deliveries();

-- migrate:down

DROP TABLE delivery_attempts, deliveries, delivery_workers, endpoints, events;
DROP FUNCTION announce_deliveries, is_delivering;
