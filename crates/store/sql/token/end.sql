UPDATE token SET end_reason = ?2, ended_at = ?3, revocation = ?4 WHERE id = ?1 AND end_reason IS NULL
