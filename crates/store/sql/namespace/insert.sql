INSERT INTO namespace (name, prefix, freshness, default_ttl_ms, created_at, revision) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
