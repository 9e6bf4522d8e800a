SELECT seq, revision, at, token, credential, address, action, namespace, object, reason, previous, hash
FROM audit WHERE namespace = ?3 AND seq > ?1 ORDER BY seq LIMIT ?2
