SELECT name, prefix, freshness, default_ttl_ms, created_at, revision, disabled_at, disabled_by FROM namespace ORDER BY name
