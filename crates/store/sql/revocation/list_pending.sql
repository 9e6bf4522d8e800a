SELECT
    id, namespace, revision, committed_at, actor, reason, count, selector, receipt_completed_at, receipt_evidence, receipt_jws, effect
FROM revocation WHERE receipt_completed_at IS NULL ORDER BY revision
