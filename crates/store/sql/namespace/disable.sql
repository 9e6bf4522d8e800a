UPDATE namespace SET disabled_at = ?2, disabled_by = ?3, revision = ?4 WHERE name = ?1
