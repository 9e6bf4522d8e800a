-- What was done under an `Idempotency-Key`: told again to the same principal until `until`, then shredded. `kept` names
-- what was made and holds no secret; `sealed` can be opened with the bearer token alone that it was asked for with.
CREATE TABLE IF NOT EXISTS idempotency (
    principal BLOB NOT NULL,
    key       BLOB NOT NULL,
    body      BLOB NOT NULL,
    kept      TEXT NOT NULL,
    sealed    BLOB,
    until     INTEGER NOT NULL,
    PRIMARY KEY (principal, key)
) STRICT, WITHOUT ROWID;

CREATE INDEX IF NOT EXISTS idempotency_until ON idempotency (until);
