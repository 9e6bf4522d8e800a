SELECT name, prefix, freshness, default_ttl_ms, created_at, revision FROM namespace WHERE name = ?1
