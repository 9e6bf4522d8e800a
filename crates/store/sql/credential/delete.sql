UPDATE credential SET deleted_at = ?2, deleted_by = ?3, revision = ?4 WHERE id = ?1 AND deleted_at IS NULL
