SELECT id, namespace, name, subject, scopes, labels, ttl_ms, created_at, revision, disabled_at, disabled_by, deleted_at, deleted_by, addresses
FROM credential WHERE id = ?1
