UPDATE namespace SET freshness = ?2, default_ttl_ms = ?3, disabled_at = ?4, disabled_by = ?5, revision = ?6 WHERE name = ?1
