-- migrate:up

-- Texts of strangers are kept as they came: in another encoding some of them could not be written at all.
DO $$
BEGIN
    IF current_setting('server_encoding') <> 'UTF8' THEN
        RAISE EXCEPTION 'the database must be encoded in UTF8, not in %', current_setting('server_encoding');
    END IF;
END $$;

-- An amount in an asset's minor unit. NaN would pass for more than anything, and any sum of it is NaN.
CREATE DOMAIN minor_units AS numeric(78, 0) CHECK (value <> 'NaN');

-- Who uses Millrace and in what: tenants, their users, the networks and the assets.
CREATE TABLE tenants (
    tenant text PRIMARY KEY CHECK (tenant ~ '^[a-z0-9][a-z0-9_-]{0,62}$'),
    name text NOT NULL CHECK (length(name) <= 128),
    status text NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'suspended', 'deleted')),
    -- The tenant's hot wallet on every network is the key with this index on the system branch.
    wallet_index integer NOT NULL UNIQUE,
    created_at timestamptz NOT NULL DEFAULT now()
);

-- The wallet index given last. A row and no sequence, which skips some after a crash: the same tenants in
-- the same order must get the same wallets when commits were lost, and other wallets with the same words
-- look only so far ahead.
CREATE TABLE wallet_counter (
    wallet_index integer NOT NULL CHECK (wallet_index >= 0)
);
CREATE UNIQUE INDEX wallet_counter_single ON wallet_counter ((true));
INSERT INTO wallet_counter VALUES (0);

-- A tenant that is there keeps its index, and takes no other.
CREATE FUNCTION take_wallet_index() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = public, pg_temp AS $$
BEGIN
    PERFORM FROM wallet_counter FOR UPDATE;
    SELECT t.wallet_index INTO NEW.wallet_index FROM tenants AS t WHERE t.tenant = NEW.tenant;
    IF NOT FOUND THEN
        UPDATE wallet_counter SET wallet_index = wallet_counter.wallet_index + 1
        RETURNING wallet_counter.wallet_index INTO NEW.wallet_index;
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER take_wallet_index BEFORE INSERT ON tenants
FOR EACH ROW EXECUTE FUNCTION take_wallet_index();

-- `owner` is the tenant's own name for its user; the empty owner is the tenant itself and is no user.
CREATE TABLE users (
    tenant text NOT NULL REFERENCES tenants,
    owner text NOT NULL CHECK (owner <> '' AND length(owner) <= 128),
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant, owner)
);

CREATE TABLE networks (
    network text PRIMARY KEY CHECK (network ~ '^[a-z0-9-]{3,8}:[-_a-zA-Z0-9]{1,32}$'), -- CAIP-2
    kind text NOT NULL,
    native_asset text NOT NULL,
    -- Blocks on top of a transfer, its own included, after which it is confirmed.
    confirmations integer NOT NULL CHECK (confirmations >= 1),
    -- 'depth' counts blocks; 'safe' and 'finalized' also wait until the chain itself says so.
    finality text NOT NULL DEFAULT 'depth' CHECK (finality IN ('depth', 'safe', 'finalized'))
);

CREATE TABLE assets (
    asset text PRIMARY KEY CHECK (asset ~ '^[A-Za-z0-9][A-Za-z0-9._-]{0,31}$'),
    network text NOT NULL REFERENCES networks,
    contract text, -- the allow-listed token, NULL for the native asset
    decimals smallint NOT NULL CHECK (decimals BETWEEN 0 AND 36),
    deposit_minor_min minor_units NOT NULL DEFAULT 0 CHECK (deposit_minor_min >= 0),
    -- Overrides of the network's confirmations: [{"from_minor": "0", "confirmations": 3}, ...] by amount.
    confirmations_by_amount jsonb NOT NULL DEFAULT '[]',
    withdrawal_minor_min minor_units NOT NULL DEFAULT 1 CHECK (withdrawal_minor_min >= 1),
    withdrawal_minor_max minor_units,       -- per order; NULL: no limit
    withdrawal_minor_max_day minor_units,   -- per user in 24 h; NULL: no limit
    withdrawal_count_max_hour integer,         -- per user; NULL: no limit
    withdrawal_approval_minor minor_units,  -- from this amount on an operator approves; NULL: never
    withdrawal_fee_minor minor_units NOT NULL DEFAULT 0 CHECK (withdrawal_fee_minor >= 0),
    UNIQUE NULLS NOT DISTINCT (network, contract)
);

-- What a stage has done: the next offset of a partition it will take. Its row is locked in each of the
-- stage's transactions, which drops repeats and fences a worker that lost its partition.
CREATE TABLE inbox (
    cluster_id text NOT NULL, -- offsets of a new Kafka cluster start anew
    stage text NOT NULL,
    topic text NOT NULL,
    partition integer NOT NULL,
    next_offset bigint NOT NULL,
    last_ms bigint, -- Kafka's time of the record before: another record there now, another topic
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (cluster_id, stage, topic, partition)
);

-- Records to be published, written in the transaction that makes them true, deleted once Kafka has them.
CREATE TABLE outbox (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    topic text NOT NULL,
    key text NOT NULL,
    payload bytea NOT NULL, -- a long one as a zstd frame: writing it plain takes longer than packing it
    created_at timestamptz NOT NULL DEFAULT now()
);
ALTER TABLE outbox ALTER COLUMN payload SET STORAGE EXTERNAL;

-- Records no stage could use, kept whole until someone redrives or discards them.
CREATE TABLE dead_letters (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    stage text NOT NULL,
    topic text NOT NULL,
    partition integer NOT NULL,
    record_offset bigint NOT NULL,
    key bytea,
    payload bytea,
    error text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    closed_at timestamptz -- redriven or discarded
);
CREATE INDEX dead_letters_open ON dead_letters (id) WHERE closed_at IS NULL;
CREATE INDEX dead_letters_closed ON dead_letters (closed_at) WHERE closed_at IS NOT NULL;

-- Work that one worker at a time may do. A holder that stops renewing loses it at expires_at.
CREATE TABLE leases (
    name text PRIMARY KEY,
    holder uuid NOT NULL,
    renewed_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL
);

-- migrate:down

DROP TABLE leases, dead_letters, outbox, inbox, assets, networks, users, tenants, wallet_counter;
DROP FUNCTION take_wallet_index;
DROP DOMAIN minor_units;
