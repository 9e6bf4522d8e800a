INSERT INTO credential (id, namespace, name, subject, scopes, labels, ttl_ms, created_at, revision, addresses)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)
