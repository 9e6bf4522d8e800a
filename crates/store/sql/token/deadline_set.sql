UPDATE token SET expires_at = ?2 WHERE id = ?1 AND (expires_at IS NULL OR expires_at > ?2)
