-- name: add_endpoint!
-- Register an address; its secret is encrypted.
INSERT INTO endpoints (endpoint_id, tenant, url, event_types, secret, created_at)
VALUES (
    :endpoint_id::text,
    :tenant::text,
    :url::text,
    :event_types::text [],
    :secret::bytea,
    :now::timestamptz
);

-- name: list_endpoints
-- A tenant's endpoints, oldest first.
SELECT
    endpoint_id,
    tenant,
    url,
    event_types,
    disabled_at,
    disabled_reason,
    failing_since,
    created_at
FROM endpoints
WHERE
    tenant = :tenant::text
    AND (:endpoint_id::text IS NULL OR endpoint_id = :endpoint_id::text)
ORDER BY created_at, endpoint_id;

-- name: change_endpoint<!
-- Give an endpoint another address and other event types. How the old address fared says nothing of a
-- new one.
UPDATE endpoints SET
    failing_since = CASE WHEN url = :url::text THEN failing_since END,
    paused_until = CASE WHEN url = :url::text THEN paused_until END,
    url = :url::text,
    event_types = :event_types::text []
WHERE endpoint_id = :endpoint_id::text AND tenant = :tenant::text
RETURNING endpoint_id;

-- name: newest_secret^
-- The encrypted secret of the newest endpoint in use: a key that opens it is the right one.
SELECT
    endpoint_id,
    secret
FROM endpoints
WHERE disabled_at IS NULL
ORDER BY created_at DESC, endpoint_id DESC
LIMIT 1;

-- name: rotate_secret<!
-- Put a new secret in place; the old one goes on signing beside it until its time is over.
UPDATE endpoints SET
    previous_secret = secret,
    previous_secret_until = now() + make_interval(secs => :overlap_s::double precision),
    secret = :secret::bytea
WHERE endpoint_id = :endpoint_id::text AND tenant = :tenant::text
RETURNING endpoint_id;

-- name: enable_endpoint<!
-- Send to it again, with a clean record.
UPDATE endpoints SET
    disabled_at = NULL,
    disabled_reason = NULL,
    failing_since = NULL,
    paused_until = NULL
WHERE endpoint_id = :endpoint_id::text AND tenant = :tenant::text
RETURNING endpoint_id;

-- name: disable_endpoint<!
-- An operator or the tenant wants nothing sent there.
UPDATE endpoints SET
    disabled_at = coalesce(disabled_at, :now::timestamptz),
    disabled_reason = coalesce(disabled_reason, 'operator')
WHERE endpoint_id = :endpoint_id::text AND tenant = :tenant::text
RETURNING endpoint_id;

-- name: forget_deliveries
-- Forget the oldest deliveries of an endpoint, with their log, some at a time.
DELETE FROM deliveries
WHERE delivery_id = any(ARRAY(
    SELECT oldest.delivery_id FROM deliveries AS oldest
    WHERE oldest.endpoint_id = :endpoint_id::text
    ORDER BY oldest.delivery_id
    LIMIT :limit_rows::bigint
))
RETURNING delivery_id;

-- name: delete_endpoint<!
-- Forget an endpoint, and what deliveries it still has.
DELETE FROM endpoints
WHERE endpoint_id = :endpoint_id::text AND tenant = :tenant::text
RETURNING endpoint_id;
