SELECT id, credential, namespace, version, digest, hint, birth, issued_at, expires_at, end_reason, ended_at, revocation,
    collected
FROM token WHERE credential = ?1 ORDER BY version
