UPDATE credential SET disabled_at = ?2, disabled_by = ?3 WHERE id = ?1
