-- migrate:up

-- What our records say came to and left each of our addresses, signed, in blocks of the best chain.
-- Its sum up to a height is what a node must find on the address after that block. A token is judged by
-- what is allow-listed today, so what came before it was listed counts as well.
CREATE VIEW address_movements AS
-- What one address of ours paid another: all transfers but those of our withdrawals' transactions,
-- numbered among those that are alike.
WITH own_transfers AS (
    SELECT
        d.network,
        d.height,
        d.deposit_id,
        d.sender,
        d.address,
        a.asset,
        d.amount_minor,
        row_number() OVER (
            PARTITION BY d.network, d.sender, d.address, a.asset, d.amount_minor
            ORDER BY d.height, d.deposit_id
        ) AS number
    FROM deposits AS d
    INNER JOIN assets AS a
        ON d.network = a.network AND coalesce(d.contract, '') = coalesce(a.contract, '')
    INNER JOIN addresses AS s ON d.network = s.network AND d.sender = s.address
    WHERE
        d.status = 'ignored'
        AND NOT EXISTS (
            SELECT 1 FROM transactions AS t
            WHERE
                t.network = d.network
                AND t.transaction_id = d.transaction_id
                AND t.state = 'mined'
        )
),

-- Withdrawals that paid an address of ours and whose own transaction brought it nothing: what they
-- paid arrived by another one (TON). How many there are of the same content.
own_payments AS (
    SELECT
        t.network,
        t.sender,
        w.address,
        w.asset,
        w.amount_minor,
        count(*) AS payments
    FROM transactions AS t
    INNER JOIN withdrawals AS w ON t.withdrawal_id = w.withdrawal_id
    INNER JOIN addresses AS r ON t.network = r.network AND w.address = r.address
    WHERE
        t.state = 'mined'
        AND t.succeeded
        AND NOT EXISTS (
            SELECT 1 FROM deposits AS d
            WHERE
                d.network = t.network
                AND d.transaction_id = t.transaction_id
                AND d.address = w.address
                AND d.status <> 'orphaned'
        )
    GROUP BY t.network, t.sender, w.address, w.asset, w.amount_minor
),

moved AS (
    -- Received: every transfer, whatever became of it afterwards.
    SELECT
        d.network,
        d.height,
        d.address,
        a.asset,
        'deposit' AS reference_type,
        d.deposit_id AS reference_id,
        d.amount_minor
    FROM deposits AS d
    INNER JOIN assets AS a
        ON d.network = a.network AND coalesce(d.contract, '') = coalesce(a.contract, '')
    WHERE
        d.status <> 'orphaned'
        -- Change of our own payment comes back: what it paid out is all that left.
        AND NOT (
            d.status = 'ignored'
            AND d.transfer_index LIKE 'out:%'
            AND EXISTS (
                SELECT 1 FROM transactions AS t
                WHERE
                    t.network = d.network
                    AND t.transaction_id = d.transaction_id
                    AND t.sender = d.address
            )
        )
    UNION ALL
    -- Sent by one address of ours to another by other means than a withdrawal: of transfers that are
    -- alike as many are withdrawals' as there are withdrawals like them.
    SELECT
        o.network,
        o.height,
        o.sender AS address,
        o.asset,
        'deposit' AS reference_type,
        o.deposit_id AS reference_id,
        -o.amount_minor AS amount_minor
    FROM own_transfers AS o
    LEFT JOIN own_payments AS p
        ON
            o.network = p.network
            AND o.sender = p.sender
            AND o.address = p.address
            AND o.asset = p.asset
            AND o.amount_minor = p.amount_minor
    WHERE o.number > coalesce(p.payments, 0)
    UNION ALL
    -- Paid out.
    SELECT
        t.network,
        t.height,
        t.sender AS address,
        w.asset,
        'withdrawal' AS reference_type,
        t.withdrawal_id AS reference_id,
        -w.amount_minor AS amount_minor
    FROM transactions AS t
    INNER JOIN withdrawals AS w ON t.withdrawal_id = w.withdrawal_id
    WHERE t.state = 'mined' AND t.succeeded
    UNION ALL
    -- Paid to the network, for transactions without effect too.
    SELECT
        t.network,
        t.height,
        t.sender AS address,
        n.native_asset AS asset,
        'withdrawal' AS reference_type,
        t.withdrawal_id AS reference_id,
        -t.fee_minor AS amount_minor
    FROM transactions AS t
    INNER JOIN networks AS n ON t.network = n.network
    WHERE t.state = 'mined' AND t.fee_minor > 0
    UNION ALL
    -- Paid to the network otherwise.
    SELECT
        c.network,
        c.height,
        c.address,
        c.asset,
        'cost' AS reference_type,
        c.cost_id AS reference_id,
        -c.amount_minor AS amount_minor
    FROM network_costs AS c
    WHERE c.status IN ('detected', 'confirmed')
)

SELECT
    moved.network,
    moved.height,
    o.tenant,
    moved.address,
    CASE
        WHEN o.purpose IN ('deposit', 'pooled') THEN 'deposit_wallets'
        ELSE o.purpose || '_wallet'
    END AS bucket,
    moved.asset,
    moved.reference_type,
    moved.reference_id::text AS reference_id,
    moved.amount_minor
FROM moved
INNER JOIN addresses AS o ON moved.network = o.network AND moved.address = o.address;

-- What each comparison of the chain, the ledger and the balances found.
CREATE TABLE reconciliations (
    run_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    network text REFERENCES networks, -- NULL: the books in themselves, of all networks
    height bigint,                    -- the block after which the chain was read
    block_id text,
    -- False: stages were in the middle of things for too long, so that nothing is proved either way.
    settled boolean NOT NULL,
    figures integer NOT NULL,         -- how many were compared
    started_at timestamptz NOT NULL,
    finished_at timestamptz NOT NULL DEFAULT now(),
    CHECK (num_nulls(network, height, block_id) IN (0, 3))
);
CREATE INDEX reconciliations_newest ON reconciliations (network, run_id);
CREATE INDEX reconciliations_age ON reconciliations (finished_at);

-- Two figures that had to be equal and were not. Empty texts where nobody knows whose it is.
CREATE TABLE reconciliation_differences (
    run_id bigint NOT NULL REFERENCES reconciliations ON DELETE CASCADE,
    scope text NOT NULL CHECK (scope IN ('chain', 'ledger', 'balance')),
    tenant text NOT NULL,
    asset text NOT NULL,
    account text NOT NULL,            -- an address, or the code of a ledger account
    expected_minor minor_units NOT NULL,
    actual_minor minor_units NOT NULL,
    detail text NOT NULL,
    PRIMARY KEY (run_id, scope, tenant, asset, account)
);

-- For what is asked every few seconds, however large the tables are.
CREATE INDEX accounts_frozen ON accounts (account_id) WHERE frozen_at IS NOT NULL;
CREATE INDEX addresses_wallets ON addresses (network) WHERE purpose <> 'deposit';

-- migrate:down

DROP INDEX addresses_wallets, accounts_frozen;
DROP TABLE reconciliation_differences, reconciliations;
DROP VIEW address_movements;
