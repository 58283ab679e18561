-- migrate:up

-- The nonce that the chain expected when the wallet was halted: an operator who resumes the wallet
-- accounts for everything below it, and for nothing above.
ALTER TABLE nonces ADD COLUMN chain_nonce bigint CHECK (chain_nonce >= 0);

-- Transactions that a hot wallet paid for and that were none of our withdrawals' when a block showed them,
-- whatever became of that block: somebody signed them, who has the key or is a database that was lost.
-- Where a nonce tells of those, they are left out.
CREATE TABLE foreign_transactions (
    -- In the order in which a network's were committed: one transaction at a time writes them.
    foreign_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    network text NOT NULL,
    transaction_id text NOT NULL,
    address text NOT NULL,
    height bigint NOT NULL, -- of the block that showed it first
    UNIQUE (network, transaction_id),
    FOREIGN KEY (network, address) REFERENCES addresses (network, address)
);
CREATE INDEX foreign_transactions_wallet ON foreign_transactions (network, address, foreign_id);

CREATE TRIGGER foreign_transactions_permanent
BEFORE UPDATE OR DELETE OR TRUNCATE ON foreign_transactions
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- As with nonces: the newest of them when the wallet was halted, and the newest that an operator has
-- accounted for, with all before it.
ALTER TABLE nonces
ADD COLUMN foreign_seen bigint,
ADD COLUMN foreign_known bigint NOT NULL DEFAULT 0;

-- migrate:down

ALTER TABLE nonces DROP COLUMN foreign_seen, DROP COLUMN foreign_known;
DROP TABLE foreign_transactions;
ALTER TABLE nonces DROP COLUMN chain_nonce;
