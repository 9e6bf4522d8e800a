SELECT id, namespace, name, subject, scopes, labels, ttl_ms, created_at, revision, disabled_at, disabled_by, deleted_at, deleted_by, addresses
FROM credential
WHERE
    namespace = ?1 AND id > ?2
    AND (?4 IS NULL OR subject = ?4)
    AND NOT EXISTS (
        SELECT 1 FROM json_each(?5) AS wanted
        WHERE NOT EXISTS (
            SELECT 1 FROM json_each(credential.labels) AS held WHERE held.key = wanted.key AND held.value = wanted.value
        )
    )
    AND (
        ?6 IS NULL
        OR ?6 = CASE WHEN deleted_at IS NOT NULL THEN 'deleted' WHEN disabled_at IS NOT NULL THEN 'disabled' ELSE 'active' END
    )
ORDER BY id LIMIT ?3
