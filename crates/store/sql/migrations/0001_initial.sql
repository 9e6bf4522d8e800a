-- The first schema. Every statement may run twice.

-- The one row that orders everything: the last revision, the start that wrote it, the chain hash there, and how far
-- authority time has come.
CREATE TABLE IF NOT EXISTS counter (
    id             INTEGER PRIMARY KEY CHECK (id = 1),
    revision       INTEGER NOT NULL,
    start          BLOB NOT NULL,
    chain_hash     BLOB NOT NULL,
    authority_time INTEGER NOT NULL
) STRICT;

INSERT OR IGNORE INTO counter (id, revision, start, chain_hash, authority_time)
VALUES (1, 0, zeroblob(16), zeroblob(32), 0);

-- `last_record` and `receipt_floor` are written in the transactions that move them, and read in those that depend on them.
CREATE TABLE IF NOT EXISTS namespace (
    name           TEXT PRIMARY KEY,
    prefix         TEXT NOT NULL UNIQUE,
    freshness      TEXT NOT NULL,
    default_ttl_ms INTEGER,
    created_at     INTEGER NOT NULL,
    revision       INTEGER NOT NULL,
    last_record    INTEGER NOT NULL DEFAULT 0,
    receipt_floor  INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;

-- Every policy that was ever set: they outlive every session that was opened before them.
CREATE TABLE IF NOT EXISTS policy (
    revision  INTEGER PRIMARY KEY,
    namespace TEXT NOT NULL REFERENCES namespace (name),
    freshness TEXT NOT NULL
) STRICT;

CREATE TABLE IF NOT EXISTS credential (
    id         BLOB PRIMARY KEY,
    namespace  TEXT NOT NULL REFERENCES namespace (name),
    name       TEXT NOT NULL,
    subject    TEXT,
    scopes     TEXT NOT NULL,
    labels     TEXT NOT NULL,
    ttl_ms     INTEGER,
    created_at INTEGER NOT NULL,
    revision   INTEGER NOT NULL,
    UNIQUE (namespace, name)
) STRICT, WITHOUT ROWID;

CREATE INDEX IF NOT EXISTS credential_of_namespace ON credential (namespace, id);

CREATE TABLE IF NOT EXISTS revocation (
    id                   BLOB PRIMARY KEY,
    namespace            TEXT NOT NULL REFERENCES namespace (name),
    revision             INTEGER NOT NULL UNIQUE,
    committed_at         INTEGER NOT NULL,
    actor                TEXT NOT NULL,
    reason               TEXT,
    count                INTEGER NOT NULL,
    selector             TEXT NOT NULL,
    receipt_completed_at INTEGER,
    receipt_evidence     TEXT,
    receipt_jws          TEXT
) STRICT, WITHOUT ROWID;

CREATE INDEX IF NOT EXISTS revocation_pending ON revocation (revision) WHERE receipt_completed_at IS NULL;

-- What is known of a secret is its digest, by the scheme that made it, and a hint.
CREATE TABLE IF NOT EXISTS token (
    id         BLOB PRIMARY KEY,
    credential BLOB NOT NULL REFERENCES credential (id),
    namespace  TEXT NOT NULL REFERENCES namespace (name),
    version    INTEGER NOT NULL,
    digest     BLOB NOT NULL UNIQUE,
    scheme     INTEGER NOT NULL,
    hint       TEXT NOT NULL,
    birth      INTEGER NOT NULL,
    issued_at  INTEGER NOT NULL,
    expires_at INTEGER,
    end_reason TEXT,
    ended_at   INTEGER,
    revocation BLOB REFERENCES revocation (id),
    UNIQUE (credential, version),
    CHECK ((end_reason IS NULL) = (ended_at IS NULL) AND (end_reason IS NULL) = (revocation IS NULL))
) STRICT, WITHOUT ROWID;

CREATE INDEX IF NOT EXISTS token_of_namespace ON token (namespace);
CREATE INDEX IF NOT EXISTS token_of_revocation ON token (revocation) WHERE revocation IS NOT NULL;

CREATE TABLE IF NOT EXISTS record (
    revision     INTEGER PRIMARY KEY,
    predecessor  INTEGER NOT NULL,
    namespace    TEXT NOT NULL REFERENCES namespace (name),
    start        BLOB NOT NULL,
    chain_hash   BLOB NOT NULL,
    set_hash     BLOB,
    committed_at INTEGER NOT NULL,
    changes      TEXT NOT NULL
) STRICT;

CREATE TABLE IF NOT EXISTS audit (
    seq        INTEGER PRIMARY KEY,
    revision   INTEGER NOT NULL,
    at         INTEGER NOT NULL,
    token      BLOB,
    credential BLOB,
    address    TEXT,
    action     TEXT NOT NULL,
    namespace  TEXT NOT NULL,
    object     TEXT NOT NULL,
    reason     TEXT
) STRICT;

CREATE TABLE IF NOT EXISTS session (
    session    BLOB PRIMARY KEY,
    verifier   TEXT NOT NULL,
    credential BLOB NOT NULL,
    namespaces TEXT NOT NULL,
    opened     INTEGER NOT NULL,
    opened_at  INTEGER NOT NULL,
    end_kind   TEXT,
    ended_at   INTEGER,
    CHECK ((end_kind IS NULL) = (ended_at IS NULL))
) STRICT, WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS start (
    revision INTEGER PRIMARY KEY,
    start    BLOB NOT NULL UNIQUE,
    before   INTEGER NOT NULL
) STRICT;
