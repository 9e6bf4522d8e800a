UPDATE credential SET subject = ?2, scopes = ?3, labels = ?4, ttl_ms = ?5, revision = ?6, addresses = ?7 WHERE id = ?1
