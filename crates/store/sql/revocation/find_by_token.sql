SELECT
    revocation.id, revocation.namespace, revocation.revision, revocation.committed_at, revocation.actor,
    revocation.reason, revocation.count, revocation.selector, revocation.receipt_completed_at,
    revocation.receipt_evidence, revocation.receipt_jws, revocation.effect
FROM token JOIN revocation ON revocation.id = token.revocation
WHERE token.id = ?1
