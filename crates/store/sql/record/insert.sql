INSERT INTO record (revision, predecessor, namespace, start, chain_hash, set_hash, committed_at, changes)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
