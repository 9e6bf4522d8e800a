UPDATE session SET end_kind = ?2, ended_at = ?3 WHERE session = ?1 AND end_kind IS NULL
