SELECT name, prefix, freshness, default_ttl_ms, created_at, revision FROM namespace ORDER BY name
