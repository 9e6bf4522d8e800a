SELECT DISTINCT credential.scopes
FROM token JOIN credential ON credential.id = token.credential
WHERE token.revocation = ?1
