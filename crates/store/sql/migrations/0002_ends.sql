-- What ends or narrows authority besides a revocation: each is a row of `revocation` too, which has the receipt, and
-- `effect` says what it did. A column that is there already is not added again.
ALTER TABLE revocation ADD COLUMN effect TEXT NOT NULL DEFAULT 'revoke';
ALTER TABLE namespace ADD COLUMN disabled_at INTEGER;
ALTER TABLE namespace ADD COLUMN disabled_by BLOB REFERENCES revocation (id);
ALTER TABLE credential ADD COLUMN disabled_at INTEGER;
ALTER TABLE credential ADD COLUMN disabled_by BLOB REFERENCES revocation (id);
ALTER TABLE credential ADD COLUMN deleted_at INTEGER;
ALTER TABLE credential ADD COLUMN deleted_by BLOB REFERENCES revocation (id);
CREATE INDEX IF NOT EXISTS credential_of_subject ON credential (namespace, subject) WHERE subject IS NOT NULL;
