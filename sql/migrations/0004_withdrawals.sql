-- migrate:up

-- The secret all keys come from, sealed: worth nothing without the key that only the signer is given.
CREATE TABLE master_secrets (
    name text PRIMARY KEY,
    envelope bytea NOT NULL,
    active boolean NOT NULL DEFAULT true,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX master_secrets_active ON master_secrets (active) WHERE active;

ALTER TABLE assets ADD UNIQUE (asset, network);

-- One row per order to pay out, the rejected ones included: a repeat is answered by its row.
CREATE TABLE withdrawals (
    withdrawal_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant text NOT NULL REFERENCES tenants,
    idempotency_key text NOT NULL, -- the producer's own id of the order
    request_hash bytea NOT NULL,   -- tells a repeat from another order under the same id
    owner text NOT NULL CHECK (owner <> ''),
    asset text NOT NULL,           -- as ordered; known to us unless network is NULL
    network text,
    address text NOT NULL,         -- canonical, unless rejected
    memo text,
    amount_minor minor_units NOT NULL,
    fee_minor minor_units NOT NULL CHECK (fee_minor >= 0), -- charged to the owner on top
    status text NOT NULL DEFAULT 'requested' CHECK (status IN (
        'requested', 'awaiting_approval', 'approved', 'signed', 'broadcast', 'confirmed', 'failed',
        'rejected'
    )),
    reason text,                   -- machine-readable, of a rejection or failure
    detail text,
    -- Why the signer left an approved one when it last looked at it; NULL: it has not looked yet.
    waits_for text CHECK (waits_for IN (
        'tenant_suspended', 'account_frozen', 'network_halted', 'wallet_halted', 'no_hot_wallet',
        'no_quote', 'token_missing', 'fee_above_cap', 'sender_lacks_funds', 'too_many_coins',
        'earlier_payment', 'unsearched_blocks', 'not_signed'
    )),
    -- Counts how often it was settled and its block left the chain, or given up and in a block after all.
    revision integer NOT NULL DEFAULT 0,
    -- 'limits', or the operator who approved or rejected.
    decided_by text CHECK (length(decided_by) <= 128),
    sender text,                   -- the hot wallet, from signing on
    nonce bigint,                  -- set once, with the sender; NULL on chains without nonces
    coin text,                     -- the same where money is held as coins: all attempts spend it
    -- Its transactions can never land and the nonce, or that coin, is another withdrawal's.
    nonce_released boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(), -- when it took its status
    UNIQUE (tenant, idempotency_key),
    FOREIGN KEY (asset, network) REFERENCES assets (asset, network),
    UNIQUE (withdrawal_id, network, sender),
    UNIQUE (withdrawal_id, network, sender, nonce),
    UNIQUE (withdrawal_id, network, sender, coin),
    CHECK (num_nonnulls(nonce, coin) <= 1),
    CHECK (NOT nonce_released OR (status = 'failed' AND num_nonnulls(nonce, coin) = 1)),
    CHECK (status IN ('requested', 'rejected') OR (network IS NOT NULL AND amount_minor > 0)),
    CHECK ((status IN ('rejected', 'failed')) = (reason IS NOT NULL)),
    CHECK (waits_for IS NULL OR status = 'approved'),
    CHECK (status NOT IN ('signed', 'broadcast', 'confirmed') OR sender IS NOT NULL),
    CHECK (status NOT IN ('approved', 'signed', 'broadcast', 'confirmed') OR decided_by IS NOT NULL)
);
CREATE UNIQUE INDEX withdrawals_nonce ON withdrawals (network, sender, nonce)
WHERE nonce IS NOT NULL AND NOT nonce_released;
CREATE UNIQUE INDEX withdrawals_coin ON withdrawals (network, coin)
WHERE coin IS NOT NULL AND NOT nonce_released;
CREATE INDEX withdrawals_open ON withdrawals (network, status)
WHERE status IN ('awaiting_approval', 'approved', 'signed', 'broadcast');
CREATE INDEX withdrawals_history ON withdrawals (tenant, owner, asset, created_at);

-- The steps a withdrawal may take. Nothing else of it changes, save what a step sets once.
CREATE FUNCTION guard_withdrawal() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF new.status <> 'requested' OR new.sender IS NOT NULL THEN
            RAISE EXCEPTION 'a withdrawal begins as requested' USING ERRCODE = 'check_violation';
        END IF;
        RETURN new;
    END IF;
    IF TG_OP = 'DELETE' THEN
        RAISE EXCEPTION 'withdrawals are never deleted' USING ERRCODE = 'check_violation';
    END IF;
    IF (old.tenant, old.idempotency_key, old.request_hash, old.owner, old.asset, old.network,
        old.address, old.memo, old.amount_minor, old.fee_minor, old.created_at)
        IS DISTINCT FROM
        (new.tenant, new.idempotency_key, new.request_hash, new.owner, new.asset, new.network,
        new.address, new.memo, new.amount_minor, new.fee_minor, new.created_at) THEN
        RAISE EXCEPTION 'an order does not change' USING ERRCODE = 'check_violation';
    END IF;
    IF old.sender IS NOT NULL
        AND (old.sender, old.nonce, old.coin) IS DISTINCT FROM (new.sender, new.nonce, new.coin)
    THEN
        RAISE EXCEPTION 'the nonce of a withdrawal is set once' USING ERRCODE = 'check_violation';
    END IF;
    IF old.nonce_released AND NOT new.nonce_released THEN
        RAISE EXCEPTION 'a released nonce is not taken back' USING ERRCODE = 'check_violation';
    END IF;
    IF old.sender IS NULL AND new.sender IS NOT NULL AND new.status <> 'signed' THEN
        RAISE EXCEPTION 'a nonce is set by signing' USING ERRCODE = 'check_violation';
    END IF;
    IF new.status <> old.status THEN
        IF (old.status, new.status) NOT IN (
            ('requested', 'awaiting_approval'), ('requested', 'approved'),
            ('requested', 'rejected'), ('awaiting_approval', 'approved'),
            ('awaiting_approval', 'rejected'), ('approved', 'signed'), ('approved', 'failed'),
            -- A transaction may be mined before its sending was recorded.
            ('signed', 'broadcast'), ('signed', 'confirmed'), ('signed', 'failed'),
            ('broadcast', 'confirmed'), ('broadcast', 'failed'),
            -- The block of a settled one left the chain.
            ('confirmed', 'broadcast'), ('failed', 'broadcast')
        ) OR (old.status = 'failed' AND (old.sender IS NULL OR old.nonce_released)) THEN
            RAISE EXCEPTION 'withdrawal % cannot go from % to %',
                old.withdrawal_id, old.status, new.status USING ERRCODE = 'check_violation';
        END IF;
        new.waits_for := NULL;
        new.updated_at := now();
    END IF;
    RETURN new;
END $$;

CREATE TRIGGER guard_withdrawal BEFORE INSERT OR UPDATE OR DELETE ON withdrawals
FOR EACH ROW EXECUTE FUNCTION guard_withdrawal();

-- The next unused nonce of each hot wallet (0 on chains without nonces). Locked while nonces and
-- coins are given out, and moved in the transaction that stores the signed bytes: no gaps.
CREATE TABLE nonces (
    network text NOT NULL REFERENCES networks,
    sender text NOT NULL,
    next_nonce bigint CHECK (next_nonce >= 0), -- NULL on a chain without nonces
    -- The key was used by somebody else: nothing is signed until an operator has looked into it.
    halted_reason text,
    -- A nonce taken to prepare the wallet, and how long that transaction, which is kept nowhere, can
    -- land (see transactions.valid_until). Behind that the nonce is free again if the chain says so.
    prepared_nonce bigint,
    prepared_until bigint,
    PRIMARY KEY (network, sender),
    FOREIGN KEY (network, sender) REFERENCES addresses (network, address)
);

-- Coins of hot wallets that a withdrawal spends. A coin is one withdrawal's, until that is settled
-- by a transaction that does not spend it, or given up for one, so deep that no reorganisation can
-- bring another attempt.
CREATE TABLE coin_claims (
    network text NOT NULL,
    coin text NOT NULL,
    withdrawal_id bigint NOT NULL REFERENCES withdrawals,
    spare_height bigint, -- where that transaction is, if it left this coin
    PRIMARY KEY (network, coin)
);
CREATE INDEX coin_claims_withdrawal ON coin_claims (withdrawal_id);
CREATE INDEX coin_claims_spare ON coin_claims (network, spare_height)
WHERE spare_height IS NOT NULL;

-- What took a coin of a withdrawal that was given up for it: while that is in the chain, none of the
-- withdrawal's transactions can land.
CREATE TABLE coin_losses (
    withdrawal_id bigint PRIMARY KEY REFERENCES withdrawals,
    network text NOT NULL,
    transaction_id text NOT NULL,
    height bigint NOT NULL,
    block_id text NOT NULL
);

-- Transactions of ours, stored before they are sent. All attempts at one withdrawal share its nonce
-- or a coin, so that the chain takes one of them at most.
CREATE TABLE transactions (
    network text NOT NULL,
    transaction_id text NOT NULL,
    withdrawal_id bigint NOT NULL,
    sender text NOT NULL,
    nonce bigint,
    coin text, -- NULL too if it was found in a block and spends others of the withdrawal's coins
    coins text [] NOT NULL DEFAULT '{}', -- all that it spends
    valid_until bigint, -- no block with a clock above this can carry it; NULL: it never expires
    attempt integer NOT NULL CHECK (attempt >= 0), -- 0, then one more for each replacement
    -- The UnsignedTransaction as JSON, which a replacement outbids; empty if it was adopted: found in a
    -- block and made by a database that is gone. Then it has neither nonce nor coin of its own.
    unsigned bytea NOT NULL,
    raw bytea NOT NULL,       -- the bytes to send; empty if it was adopted and nobody tells them
    fee_minor_max minor_units NOT NULL CHECK (fee_minor_max >= 0),
    -- signed: stored. broadcast: a node took it. mined: in a block. superseded: another attempt was settled.
    -- expired: the final chain is beyond valid_until without it.
    state text NOT NULL DEFAULT 'signed'
    CHECK (state IN ('signed', 'broadcast', 'mined', 'superseded', 'expired')),
    height bigint,
    block_id text,
    succeeded boolean,
    fee_minor minor_units,
    confirm_height bigint,    -- the height at which it has its confirmations
    mined_at timestamptz,
    last_outcome text CHECK (last_outcome IN ('accepted', 'refused', 'nonce_used', 'unknown')),
    last_detail text,
    first_sent_at timestamptz,
    last_sent_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (network, transaction_id),
    UNIQUE (withdrawal_id, attempt),
    FOREIGN KEY (withdrawal_id, network, sender)
    REFERENCES withdrawals (withdrawal_id, network, sender),
    FOREIGN KEY (withdrawal_id, network, sender, nonce)
    REFERENCES withdrawals (withdrawal_id, network, sender, nonce),
    FOREIGN KEY (withdrawal_id, network, sender, coin)
    REFERENCES withdrawals (withdrawal_id, network, sender, coin),
    CHECK (coin IS NULL OR coin = any(coins)),
    CHECK (state <> 'expired' OR valid_until IS NOT NULL),
    CHECK (
        (state = 'mined') = (
            num_nonnulls(height, block_id, succeeded, fee_minor, confirm_height, mined_at) = 6
        )
    ),
    CHECK (
        state = 'mined'
        OR num_nonnulls(height, block_id, succeeded, fee_minor, confirm_height, mined_at) = 0
    )
);
CREATE UNIQUE INDEX transactions_mined ON transactions (withdrawal_id) WHERE state = 'mined';
-- Without nonce and coin nothing on the chain keeps two attempts apart: there is one at a time.
CREATE UNIQUE INDEX transactions_live ON transactions (withdrawal_id)
WHERE nonce IS NULL AND coins = '{}' AND state IN ('signed', 'broadcast', 'mined');
CREATE INDEX transactions_open ON transactions (network) WHERE state IN ('signed', 'broadcast');
CREATE INDEX transactions_unmined ON transactions (network) WHERE state <> 'mined';
CREATE INDEX transactions_block ON transactions (network, height) WHERE state = 'mined';

-- What was signed stays as it was signed, and is known for ever: it may be in a block any day.
CREATE TRIGGER withdrawals_permanent BEFORE TRUNCATE ON withdrawals
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE TRIGGER transactions_permanent BEFORE DELETE OR TRUNCATE ON transactions
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE TRIGGER transactions_identity
BEFORE UPDATE OF
    network, transaction_id, withdrawal_id, sender, nonce, coin, coins, valid_until, attempt, unsigned,
    raw, fee_minor_max, created_at
ON transactions
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- Attempts that were in a block and whose change another withdrawal spends that is not given up. If
-- a reorganisation opens them again they have to land: were another attempt at the same withdrawal
-- to land instead, that coin would never be, and nothing that spends it could. Of several, from several
-- branches, any may land: what spends the change of the others is given up.
CREATE VIEW needed_transactions AS
SELECT
    t.withdrawal_id,
    t.transaction_id
FROM transactions AS t
INNER JOIN deposits AS d ON t.network = d.network AND t.transaction_id = d.transaction_id
INNER JOIN coin_claims AS k
    ON d.network = k.network AND d.transaction_id || substr(d.transfer_index, 4) = k.coin
INNER JOIN withdrawals AS o ON k.withdrawal_id = o.withdrawal_id AND o.status <> 'failed'
WHERE k.withdrawal_id <> t.withdrawal_id;

-- migrate:down

DROP VIEW needed_transactions;
DROP TABLE transactions, coin_losses, coin_claims, nonces, withdrawals, master_secrets;
DROP FUNCTION guard_withdrawal;
ALTER TABLE assets DROP CONSTRAINT assets_asset_network_key;
