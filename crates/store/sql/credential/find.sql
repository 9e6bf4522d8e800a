SELECT id, namespace, name, subject, scopes, labels, ttl_ms, created_at, revision FROM credential WHERE id = ?1
