-- migrate:up

-- The nonce that the chain expected when the wallet was halted: an operator who resumes the wallet
-- accounts for everything below it, and for nothing above.
ALTER TABLE nonces ADD COLUMN chain_nonce bigint CHECK (chain_nonce >= 0);

-- migrate:down

ALTER TABLE nonces DROP COLUMN chain_nonce;
