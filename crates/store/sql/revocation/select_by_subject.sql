SELECT token.id, token.digest, credential.scopes
FROM credential JOIN token ON token.credential = credential.id
WHERE
    credential.namespace = ?1 AND credential.subject = ?2 AND token.end_reason IS NULL AND token.collected IS NULL
    AND (?3 IS NULL OR token.issued_at < ?3)
    AND NOT EXISTS (
        SELECT 1 FROM json_each(?4) AS wanted
        WHERE NOT EXISTS (
            SELECT 1 FROM json_each(credential.labels) AS held WHERE held.key = wanted.key AND held.value = wanted.value
        )
    )
ORDER BY credential.id, token.version
