INSERT INTO revocation (id, namespace, revision, committed_at, actor, reason, count, selector, effect)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
