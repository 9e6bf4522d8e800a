SELECT id, namespace, name, subject, scopes, labels, ttl_ms, created_at, revision, disabled_at, disabled_by, deleted_at, deleted_by
FROM credential
WHERE
    namespace = ?1 AND id > ?2
    AND (?4 IS NULL OR subject = ?4)
    AND (?5 IS NULL OR labels ->> ('$."' || ?5 || '"') = ?6)
    AND (
        ?7 IS NULL
        OR ?7 = CASE WHEN deleted_at IS NOT NULL THEN 'deleted' WHEN disabled_at IS NOT NULL THEN 'disabled' ELSE 'active' END
    )
ORDER BY id LIMIT ?3
