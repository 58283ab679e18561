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

-- name: own_addresses
-- Which of these addresses are ours on a network, or of a key of ours that another of its kind uses.
SELECT DISTINCT a.address
FROM networks AS n
INNER JOIN networks AS alike ON n.kind = alike.kind
INNER JOIN addresses AS a ON alike.network = a.network AND a.address = any(:addresses::text [])
WHERE n.network = :network::text AND (a.network = n.network OR a.key_path IS NOT NULL);

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

-- name: make_counters_alike!
-- Count the addresses of all networks of this one's kind from now on: of two that begin at once the
-- second waits here, as neither sees the other's counter yet.
INSERT INTO address_counters (network)
SELECT alike.network
FROM networks AS n
INNER JOIN networks AS alike ON n.kind = alike.kind
WHERE n.network = :network::text
ORDER BY alike.network
ON CONFLICT DO NOTHING;

-- name: lock_counters_alike!
-- Take the counters of all networks of this one's kind for this transaction, in one order.
SELECT c.network
FROM address_counters AS c
INNER JOIN networks AS n ON c.network = n.network
WHERE n.kind = (SELECT kind FROM networks WHERE network = :network::text)
ORDER BY c.network
FOR UPDATE OF c;

-- name: reserve_addresses
-- Give the next deposit keys that no network of the kind has used to addresses-to-be. The counters
-- are locked; fewer rows come back if the pool of keys runs out.
SELECT
    k.key_index,
    k.key_path,
    k.public_key
FROM unused_keys AS u
INNER JOIN key_pool AS k ON u.network = k.network AND k.branch = 0 AND k.key_index >= u.first_index
WHERE u.network = :network::text
ORDER BY k.key_index
LIMIT :wanted::bigint;

-- name: reserve_forgotten
-- The same of keys that this network has not used and none of the kind knows to have given out: those
-- that any of them gave out and forgot are the next, also if they are withheld on another one by now.
SELECT
    k.key_index,
    k.key_path,
    k.public_key
FROM address_counters AS c
INNER JOIN unused_keys AS u ON c.network = u.network
INNER JOIN key_pool AS k
    ON c.network = k.network AND k.branch = 0 AND k.key_index >= greatest(c.deposit_keys, u.given_keys)
WHERE c.network = :network::text
ORDER BY k.key_index
LIMIT :wanted::bigint;

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
-- Count addresses, and the deposit keys below this index as used, and as given unless withheld.
UPDATE address_counters SET
    serial = serial + :addresses::bigint,
    deposit_keys = greatest(deposit_keys, :next_key::bigint),
    given_keys = CASE WHEN :withheld::boolean THEN given_keys ELSE greatest(given_keys, :next_key::bigint) END
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
