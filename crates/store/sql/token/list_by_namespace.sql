SELECT
    token.digest, token.id, token.credential, credential.subject, credential.scopes, token.expires_at, token.end_reason,
    credential.disabled_at IS NOT NULL, credential.addresses
FROM token JOIN credential ON credential.id = token.credential
WHERE token.namespace = ?1 AND token.collected IS NULL
ORDER BY token.id
