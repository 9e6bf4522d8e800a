-- The audit trail becomes a chain: each entry has its own hash and the one before, and the counter keeps the newest. The
-- entries that are there already are chained when the database is opened, once. A column that is there is not added again.
ALTER TABLE audit ADD COLUMN previous BLOB;
ALTER TABLE audit ADD COLUMN hash BLOB;
ALTER TABLE counter ADD COLUMN audit_seq INTEGER NOT NULL DEFAULT 0;
ALTER TABLE counter ADD COLUMN audit_hash BLOB NOT NULL DEFAULT x'0000000000000000000000000000000000000000000000000000000000000000';
CREATE INDEX IF NOT EXISTS audit_of_namespace ON audit (namespace, seq);
