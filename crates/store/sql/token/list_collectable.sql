SELECT id, digest FROM token
WHERE namespace = ?1 AND collected IS NULL AND expires_at <= ?2
ORDER BY expires_at, id LIMIT ?3
