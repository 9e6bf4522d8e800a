UPDATE counter SET revision = ?1, start = ?2, chain_hash = ?3, authority_time = ?4, audit_seq = ?5, audit_hash = ?6 WHERE id = 1
