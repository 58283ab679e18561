-- migrate:up

-- Chains whose keys come from words of their own kind have a secret of their own: one active row a
-- name. Rows that are not active keep what older addresses came from.
DROP INDEX master_secrets_active;
ALTER TABLE master_secrets DROP CONSTRAINT master_secrets_pkey;
ALTER TABLE master_secrets ADD COLUMN secret_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY;
CREATE UNIQUE INDEX master_secrets_active ON master_secrets (name) WHERE active;

-- migrate:down

-- Fails, and loses nothing, as long as there is more than one secret.
DROP INDEX master_secrets_active;
ALTER TABLE master_secrets DROP COLUMN secret_id;
ALTER TABLE master_secrets ADD PRIMARY KEY (name);
CREATE UNIQUE INDEX master_secrets_active ON master_secrets (active) WHERE active;
