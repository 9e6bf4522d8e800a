SELECT
    token.id, token.credential, token.namespace, token.version, token.digest, token.hint, token.birth, token.issued_at,
    token.expires_at, token.end_reason, token.ended_at, token.revocation, token.collected,
    credential.id, credential.namespace, credential.name, credential.subject, credential.scopes, credential.labels,
    credential.ttl_ms, credential.created_at, credential.revision, credential.disabled_at, credential.disabled_by, credential.deleted_at,
    credential.deleted_by, credential.addresses
FROM token JOIN credential ON credential.id = token.credential
WHERE token.digest = ?1
