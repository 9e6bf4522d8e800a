SELECT
    token.digest, token.id, token.credential, credential.subject, credential.scopes, token.expires_at, token.end_reason,
    credential.disabled_at IS NOT NULL, credential.addresses
FROM token JOIN credential ON credential.id = token.credential
WHERE token.digest = ?1 AND token.birth < ?2 AND token.collected IS NULL
