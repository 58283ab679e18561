-- name: add_tenant$
-- Take a tenant in; nothing comes back if there is one of that name already.
-- A repeat takes no wallet index: after a restore the same tenants in the same order get the same.
INSERT INTO tenants (tenant, name)
VALUES (:tenant::text, :name::text)
ON CONFLICT DO NOTHING
RETURNING tenant;

-- name: list_tenants
-- All tenants, or the one asked for.
SELECT
    tenant,
    name,
    status,
    wallet_index,
    created_at
FROM tenants
WHERE :tenant::text IS NULL OR tenant = :tenant::text
ORDER BY tenant;

-- name: move_tenant$
-- Take a tenant from one status to another; nothing comes back if it is not in that one.
UPDATE tenants SET status = :status::text
WHERE tenant = :tenant::text AND status = :from_status::text
RETURNING tenant;

-- name: add_users!
-- Take in a tenant's users; those that are there already stay as they are.
INSERT INTO users (tenant, owner)
SELECT
    :tenant::text,
    o.owner
FROM unnest(:owners::text []) AS o (owner)
ORDER BY o.owner
ON CONFLICT DO NOTHING;

-- name: list_balances
-- What the owners of a tenant have, by owner and asset, optionally of one owner.
SELECT
    owner,
    asset,
    available_minor::text AS available_minor,
    locked_minor::text AS locked_minor,
    pending_minor::text AS pending_minor,
    total_minor::text AS total_minor,
    receivable_minor::text AS receivable_minor,
    frozen_reason
FROM balances
WHERE tenant = :tenant::text AND (:owner::text IS NULL OR owner = :owner::text)
ORDER BY owner, asset
LIMIT :limit_rows::integer;

-- name: list_addresses
-- A tenant's addresses and memos, newest first, optionally of one owner or purpose.
SELECT
    a.network,
    a.address,
    a.memo,
    a.owner,
    a.purpose,
    a.key_path,
    a.label,
    a.created_at
FROM (
    SELECT
        network,
        address,
        NULL AS memo,
        owner,
        purpose,
        key_path,
        label,
        created_at,
        serial
    FROM addresses
    WHERE tenant = :tenant::text
    UNION ALL
    SELECT
        network,
        address,
        memo,
        owner,
        'pooled' AS purpose,
        NULL AS key_path,
        label,
        created_at,
        0 AS serial
    FROM memos
    WHERE tenant = :tenant::text
) AS a
WHERE
    (:owner::text IS NULL OR a.owner = :owner::text)
    AND (:purpose::text IS NULL OR a.purpose = :purpose::text)
ORDER BY a.created_at DESC, a.network ASC, a.serial DESC, a.memo ASC
LIMIT :limit_rows::integer;

-- name: is_user$
-- Whether the tenant has this user.
SELECT exists(SELECT 1 FROM users WHERE tenant = :tenant::text AND owner = :owner::text);
