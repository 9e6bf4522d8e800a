UPDATE revocation SET receipt_completed_at = ?2, receipt_evidence = ?3, receipt_jws = ?4
WHERE id = ?1 AND receipt_completed_at IS NULL
