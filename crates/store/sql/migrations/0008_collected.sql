-- The revision at which verifiers were told to forget a token that had expired long before; the row stays. What can go is found
-- without a look at what cannot. A column that is there is not added again.
ALTER TABLE token ADD COLUMN collected INTEGER;
CREATE INDEX IF NOT EXISTS token_to_collect ON token (namespace, expires_at, id) WHERE expires_at IS NOT NULL AND collected IS NULL;
