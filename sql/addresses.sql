-- name: new_addresses
-- Addresses added since a serial. Serials are committed in order, so none is ever missed.
SELECT
    serial,
    address
FROM addresses
WHERE network = :network::text AND serial > :after_serial::bigint
ORDER BY serial
LIMIT :limit_rows::integer;

-- name: owned_addresses
-- Which of these addresses are ours, and whose.
SELECT
    address,
    tenant,
    owner,
    purpose
FROM addresses
WHERE network = :network::text AND address = any(:addresses::text []);

-- name: memo_owners
-- Whose these memos on these pooled addresses are.
SELECT
    m.address,
    m.memo,
    m.owner
FROM memos AS m
INNER JOIN unnest(:addresses::text [], :memos::text []) AS t (address, memo)
    ON m.address = t.address AND m.memo = t.memo
WHERE m.network = :network::text;

-- name: reserve_addresses
-- Give the next unused deposit keys of a network to addresses-to-be. The counter's row stays
-- locked until the transaction ends; fewer rows come back if the pool of keys runs out.
WITH counter AS (
    INSERT INTO address_counters AS c (network) VALUES (:network::text)
    ON CONFLICT (network) DO UPDATE SET serial = c.serial
    RETURNING serial, deposit_keys
)

SELECT
    k.key_path,
    k.public_key,
    k.key_index,
    counter.serial
FROM counter
INNER JOIN key_pool AS k
    ON
        k.network = :network::text
        AND k.branch = 0
        AND k.key_index >= counter.deposit_keys
        AND k.key_index < counter.deposit_keys + :wanted::bigint
ORDER BY k.key_index;

-- name: add_addresses!
-- Watch addresses, with the serials that follow the counter's.
INSERT INTO addresses (network, address, serial, tenant, owner, purpose, key_path, label)
SELECT
    :network::text,
    a.address,
    c.serial + a.position,
    :tenant::text,
    a.owner,
    :purpose::text,
    a.key_path,
    a.label
FROM
    unnest(
        :addresses::text [], :owners::text [], :key_paths::text [], :labels::text []
    ) WITH ORDINALITY AS a (address, owner, key_path, label, position)
INNER JOIN address_counters AS c ON c.network = :network::text;

-- name: advance_counter!
-- Count addresses and used deposit keys.
UPDATE address_counters SET
    serial = serial + :addresses::bigint,
    deposit_keys = deposit_keys + :keys::bigint
WHERE network = :network::text;

-- name: lock_counter
-- Take the counter of a network for this transaction; it is made if it is not there.
INSERT INTO address_counters AS c (network) VALUES (:network::text)
ON CONFLICT (network) DO UPDATE SET serial = c.serial
RETURNING serial;

-- name: read_pooled$
-- The pooled address on which a tenant gives out memos: the first one.
SELECT address FROM addresses
WHERE tenant = :tenant::text AND network = :network::text AND purpose = 'pooled'
ORDER BY serial
LIMIT 1;

-- name: take_memo_numbers$
-- The first of so many numbers for memos, which are never given out again.
UPDATE address_counters SET memos = memos + :wanted::bigint
WHERE network = :network::text
RETURNING memos - :wanted::bigint + 1;

-- name: add_memos!
-- Give owners memos on a pooled address.
INSERT INTO memos (network, address, memo, tenant, owner, label)
SELECT
    :network::text,
    :address::text,
    m.memo,
    :tenant::text,
    m.owner,
    m.label
FROM unnest(:memos::text [], :owners::text [], :labels::text []) AS m (memo, owner, label);
