-- What is known of tokens in use: no record of the feed speaks of it, and none of it decides whether a token is good. It goes
-- with its token, and what a session has told with its session.
CREATE TABLE IF NOT EXISTS usage (
    token           BLOB PRIMARY KEY REFERENCES token (id) ON DELETE CASCADE,
    used_first      INTEGER,
    used_last       INTEGER,
    used_count      INTEGER,
    presented_first INTEGER,
    presented_last  INTEGER,
    presented_count INTEGER
) STRICT, WITHOUT ROWID;

-- From where a token is presented that has ended: the most frequent ones. No address where it is not known.
CREATE TABLE IF NOT EXISTS presenter (
    token    BLOB NOT NULL REFERENCES token (id) ON DELETE CASCADE,
    verifier TEXT NOT NULL,
    address  TEXT NOT NULL,
    first    INTEGER NOT NULL,
    last     INTEGER NOT NULL,
    count    INTEGER NOT NULL,
    PRIMARY KEY (token, verifier, address)
) STRICT, WITHOUT ROWID;

-- The last report of each session that was counted, and until when it has told all.
CREATE TABLE IF NOT EXISTS usage_report (
    session BLOB PRIMARY KEY REFERENCES session (session) ON DELETE CASCADE,
    number  INTEGER NOT NULL,
    until   INTEGER NOT NULL,
    last    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
