UPDATE counter SET revision = ?1, start = ?2, chain_hash = ?3, authority_time = ?4 WHERE id = 1
