-- name: add_master_secret$
-- Keep a master secret; nothing comes back if there is one of its name already.
INSERT INTO master_secrets (name, envelope)
VALUES (:name::text, :envelope::bytea)
ON CONFLICT DO NOTHING
RETURNING name;

-- name: read_master_secret$
-- The sealed master secret of a name.
SELECT envelope FROM master_secrets
WHERE name = :name::text AND active;

-- name: count_free_keys
-- Per network: deposit keys that no network of its kind has used yet, and the next index to make.
SELECT
    u.network,
    p.next_index - u.first_index AS free_keys,
    p.next_index
FROM unused_keys AS u
CROSS JOIN LATERAL (
    SELECT greatest(max(k.key_index) + 1, u.given_keys) AS next_index
    FROM key_pool AS k
    WHERE k.network = u.network AND k.branch = 0
) AS p
WHERE u.network = any(:networks::text [])
ORDER BY u.network;

-- name: missing_wallet_keys
-- Tenants whose key of the system branch is not in the pool yet.
SELECT
    n.network,
    t.wallet_index
FROM tenants AS t
CROSS JOIN networks AS n
LEFT JOIN key_pool AS k
    ON n.network = k.network AND k.branch = 1 AND t.wallet_index = k.key_index
WHERE n.network = any(:networks::text []) AND k.network IS NULL
ORDER BY n.network, t.wallet_index;

-- name: first_keys
-- The oldest key of each of these networks that has any.
SELECT
    k.network,
    k.branch,
    k.key_index,
    k.key_path,
    k.public_key
FROM unnest(:networks::text []) AS n (network)
CROSS JOIN LATERAL (
    SELECT p.* FROM key_pool AS p
    WHERE p.network = n.network
    ORDER BY p.branch, p.key_index
    LIMIT 1
) AS k;

-- name: add_keys!
-- Put public keys into the pool; those that are there already stay as they are.
INSERT INTO key_pool (network, branch, key_index, key_path, public_key)
SELECT
    k.network,
    k.branch,
    k.key_index,
    k.key_path,
    k.public_key
FROM
    unnest(
        :networks::text [], :branches::smallint [], :key_indices::bigint [],
        :key_paths::text [], :public_keys::bytea []
    ) AS k (network, branch, key_index, key_path, public_key)
ON CONFLICT DO NOTHING;

-- name: read_wallet_key^
-- The key of a tenant's wallets on a network; no row until the signer has made it.
SELECT
    k.key_path,
    k.public_key
FROM key_pool AS k
INNER JOIN tenants AS t ON k.key_index = t.wallet_index
WHERE k.network = :network::text AND k.branch = 1 AND t.tenant = :tenant::text;

-- name: read_hot_wallet^
-- The tenant's hot wallet on a network.
SELECT
    address,
    key_path
FROM addresses
WHERE tenant = :tenant::text AND network = :network::text AND purpose = 'hot';

-- name: list_system_wallets
-- A tenant's hot wallet, and the pooled address on which it gives out memos.
SELECT DISTINCT ON (purpose)
    purpose,
    address,
    key_path
FROM addresses
WHERE
    tenant = :tenant::text
    AND network = :network::text
    AND purpose IN ('hot', 'pooled')
ORDER BY purpose, serial;
