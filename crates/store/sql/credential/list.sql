SELECT id, namespace, name, subject, scopes, labels, ttl_ms, created_at, revision
FROM credential WHERE namespace = ?1 AND id > ?2 ORDER BY id LIMIT ?3
