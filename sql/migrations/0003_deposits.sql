-- migrate:up

-- The best chain as follow_chain has read it. It is the truth about which block is canonical:
-- a stage that meets a block in Kafka asks here, so stale or repeated records do no harm.
CREATE TABLE blocks (
    network text NOT NULL REFERENCES networks,
    height bigint NOT NULL,
    block_id text NOT NULL,
    parent_id text NOT NULL,
    clock bigint NOT NULL, -- what the chain measures expiry by; see chain_adapters.types.Block
    -- False from the moment the row is written until Kafka has the block.
    published boolean NOT NULL DEFAULT false,
    PRIMARY KEY (network, height)
);

-- How far a network is followed.
CREATE TABLE cursors (
    network text PRIMARY KEY REFERENCES networks,
    height bigint NOT NULL,             -- the highest row of blocks
    safe_height bigint,
    finalized_height bigint,
    node_height bigint NOT NULL,        -- the tip the node spoke of
    matched_height bigint,              -- the highest block match_deposits has done
    settled_height bigint,              -- the highest block confirm_withdrawals has done
    halted_reason text,                 -- a reorganisation deeper than allowed: waits for an operator
    updated_at timestamptz NOT NULL DEFAULT now()
);

-- Public keys made ahead of need by the signer, the only process that holds the master secret.
CREATE TABLE key_pool (
    network text NOT NULL REFERENCES networks,
    branch smallint NOT NULL CHECK (branch IN (0, 1)), -- 0 deposit addresses, 1 system wallets
    key_index bigint NOT NULL,
    key_path text NOT NULL,
    public_key bytea NOT NULL,
    PRIMARY KEY (network, branch, key_index)
);

-- The number of addresses a network has. Its row is locked while an address is added, so that
-- serials are committed in order and whoever reads "all above n" misses none; n is never reused.
CREATE TABLE address_counters (
    network text PRIMARY KEY REFERENCES networks,
    serial bigint NOT NULL DEFAULT 0,
    -- above every key_index of branch 0 that the network has used
    deposit_keys bigint NOT NULL DEFAULT 0,
    given_keys bigint NOT NULL DEFAULT 0, -- the same of those that were not withheld
    memos bigint NOT NULL DEFAULT 0 -- the number of memos given out
);

-- The first key of branch 0 that no network of the kind has used. Those of one kind derive the same
-- address from the same key: given out on each, it would be another user's on another network, and
-- what is sent on the wrong one that user's money. What they gave out and a restored database forgot
-- begins above the keys that they know to be given.
CREATE VIEW unused_keys AS
SELECT
    n.network,
    coalesce(max(c.deposit_keys), 0) AS first_index,
    coalesce(max(c.given_keys), 0) AS given_keys
FROM networks AS n
INNER JOIN networks AS alike ON n.kind = alike.kind
LEFT JOIN address_counters AS c ON alike.network = c.network
GROUP BY n.network;

CREATE TABLE addresses (
    network text NOT NULL REFERENCES networks,
    address text NOT NULL,
    serial bigint NOT NULL,
    tenant text NOT NULL REFERENCES tenants,
    owner text NOT NULL, -- '' for wallets of the tenant itself, and for a pooled address
    -- pooled: many owners pay in here, told apart by their memos; or nobody knows who does. A tenant
    -- gives out memos on its first one only.
    purpose text NOT NULL CHECK (purpose IN ('deposit', 'pooled', 'hot', 'cold', 'gas')),
    key_path text,       -- NULL for a cold wallet, whose key is elsewhere
    label text CHECK (length(label) <= 300),
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (network, address),
    UNIQUE (network, serial),
    CHECK ((purpose = 'deposit') = (owner <> ''))
);
CREATE UNIQUE INDEX addresses_key_path ON addresses (network, key_path) WHERE key_path IS NOT NULL;
CREATE UNIQUE INDEX addresses_hot ON addresses (tenant, network) WHERE purpose = 'hot';
CREATE INDEX addresses_pooled ON addresses (tenant, network, serial) WHERE purpose = 'pooled';
CREATE INDEX addresses_owner ON addresses (tenant, owner, network);

-- Whose a transfer to a pooled address is. Rows are never deleted: a memo stays its owner's for ever.
CREATE TABLE memos (
    network text NOT NULL,
    address text NOT NULL,
    memo text NOT NULL, -- in the chain's canonical form
    tenant text NOT NULL,
    owner text NOT NULL,
    label text CHECK (length(label) <= 300),
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (network, address, memo),
    FOREIGN KEY (network, address) REFERENCES addresses (network, address),
    FOREIGN KEY (tenant, owner) REFERENCES users (tenant, owner)
);
CREATE INDEX memos_owner ON memos (tenant, owner, network);

-- One row per transfer to an address of ours, whatever became of it. Tenant, owner and network are
-- copied from the address's or memo's row, which has the foreign keys: checking them again for every
-- transfer would double the cost of writing one. Without an owner it is money of the tenant's own
-- wallets or, on a pooled address, money that nobody was found for: it waits to be assigned.
CREATE TABLE deposits (
    deposit_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    network text NOT NULL,
    transaction_id text NOT NULL,
    transfer_index text NOT NULL,
    tenant text NOT NULL,
    owner text NOT NULL,
    purpose text NOT NULL,
    address text NOT NULL,
    sender text,
    contract text,
    asset text, -- NULL: a token nobody allow-listed
    amount_minor minor_units NOT NULL CHECK (amount_minor > 0),
    memo text,
    height bigint NOT NULL,
    block_id text NOT NULL,
    -- detected: in a block. confirmed: deep enough, to be credited. orphaned: its block left the chain.
    -- ignored: recorded and never credited, for the reason given.
    status text NOT NULL CHECK (status IN ('detected', 'confirmed', 'orphaned', 'ignored')),
    ignored_reason text CHECK (ignored_reason IN ('unknown_token', 'below_minimum', 'own_transfer')),
    -- Counts how often the transfer was mined; each time is credited and reversed under its own key.
    revision integer NOT NULL DEFAULT 0,
    confirm_height bigint NOT NULL, -- the height at which it has its confirmations
    detected_at timestamptz NOT NULL DEFAULT now(),
    confirmed_at timestamptz,
    -- The operator who said whose it is; stays when it is mined again.
    assigned_by text CHECK (length(assigned_by) <= 128),
    assigned_at timestamptz,
    claimed boolean NOT NULL DEFAULT false, -- a coin that a withdrawal spends; see coin_claims
    UNIQUE (network, transaction_id, transfer_index),
    CHECK ((status = 'ignored') <= (ignored_reason IS NOT NULL)),
    CHECK ((assigned_by IS NULL) = (assigned_at IS NULL)),
    CHECK (assigned_by IS NULL OR (purpose = 'pooled' AND owner <> ''))
) WITH (fillfactor = 45); -- each row changes once, when it is confirmed: beside its first version
CREATE INDEX deposits_block ON deposits (network, height);
CREATE INDEX deposits_owner ON deposits (tenant, owner, deposit_id);
-- What a hot wallet holds where money is held as coins.
CREATE INDEX deposits_coins ON deposits (network, address) WHERE purpose = 'hot' AND NOT claimed;
CREATE INDEX deposits_unassigned ON deposits (tenant, deposit_id)
WHERE purpose = 'pooled' AND owner = '';

-- The deposits whose status is detected. No index of deposits has their status in it: so confirming
-- one touches no index at all, which halves what a deposit costs.
CREATE TABLE waiting_deposits (
    network text NOT NULL,
    confirm_height bigint NOT NULL,
    deposit_id bigint NOT NULL,
    PRIMARY KEY (network, confirm_height, deposit_id)
);

-- Whose money it is changes in two ways only: by an operator's word, once, while the money is in
-- suspense; or as the deposit starts anew in another block and nobody has given that word.
CREATE FUNCTION guard_deposit_owner() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (old.assigned_by IS NULL AND new.assigned_by IS NOT NULL) THEN
        IF (old.owner, old.purpose, old.status, new.status, old.revision)
            IS DISTINCT FROM ('', 'pooled', 'confirmed', 'confirmed', new.revision) THEN
            RAISE EXCEPTION 'deposit % cannot be assigned', old.deposit_id
                USING ERRCODE = 'check_violation';
        END IF;
    ELSIF old.assigned_by IS NOT NULL OR old.status <> 'orphaned' OR new.revision <= old.revision THEN
        RAISE EXCEPTION 'the owner of deposit % does not change', old.deposit_id
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN new;
END $$;

CREATE TRIGGER guard_deposit_owner BEFORE UPDATE OF owner, tenant, assigned_by ON deposits
FOR EACH ROW WHEN (
    (old.tenant, old.owner, old.assigned_by) IS DISTINCT FROM (new.tenant, new.owner, new.assigned_by)
) EXECUTE FUNCTION guard_deposit_owner();

-- Whose an address, a key or a memo is never changes: who knows it pays to that user for ever. A deposit
-- that was forgotten would be credited again, under another id, as soon as its block is read again.
CREATE TRIGGER key_pool_permanent BEFORE UPDATE OR DELETE OR TRUNCATE ON key_pool
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE TRIGGER addresses_permanent BEFORE DELETE OR TRUNCATE ON addresses
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE TRIGGER addresses_identity
BEFORE UPDATE OF network, address, serial, tenant, owner, purpose, key_path ON addresses
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE TRIGGER memos_permanent BEFORE DELETE OR TRUNCATE ON memos
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE TRIGGER memos_identity BEFORE UPDATE OF network, address, memo, tenant, owner ON memos
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE TRIGGER deposits_permanent BEFORE DELETE OR TRUNCATE ON deposits
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE TRIGGER deposits_identity
BEFORE UPDATE OF deposit_id, network, transaction_id, transfer_index ON deposits
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- What addresses of ours lost of the native asset beside transfers, in transactions that are none of
-- our withdrawals' (TON: a wallet pays for receiving). Negative: they gained it (TON: what was too
-- much for gas comes back). One row a transaction.
CREATE TABLE network_costs (
    cost_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    network text NOT NULL,
    transaction_id text NOT NULL,
    tenant text NOT NULL,
    purpose text NOT NULL,
    address text NOT NULL,
    asset text NOT NULL,
    amount_minor minor_units NOT NULL CHECK (amount_minor <> 0),
    height bigint NOT NULL,
    block_id text NOT NULL,
    -- As of deposits. disowned: the transaction turned out to be a withdrawal's, with which it is booked.
    status text NOT NULL CHECK (status IN ('detected', 'confirmed', 'orphaned', 'disowned')),
    revision integer NOT NULL DEFAULT 0,
    confirm_height bigint NOT NULL,
    detected_at timestamptz NOT NULL DEFAULT now(),
    confirmed_at timestamptz,
    UNIQUE (network, transaction_id)
);
CREATE INDEX network_costs_waiting ON network_costs (network, confirm_height)
WHERE status = 'detected';
CREATE INDEX network_costs_block ON network_costs (network, height);

-- migrate:down

DROP VIEW unused_keys;
DROP TABLE
network_costs, waiting_deposits, deposits, memos, addresses, address_counters, key_pool, cursors, blocks;
DROP FUNCTION guard_deposit_owner;
