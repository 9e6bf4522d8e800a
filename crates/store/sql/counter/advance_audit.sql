UPDATE counter SET audit_seq = ?1, audit_hash = ?2 WHERE id = 1
