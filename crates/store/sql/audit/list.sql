SELECT seq, revision, at, token, credential, address, action, namespace, object, reason, previous, hash
FROM audit WHERE seq > ?1 ORDER BY seq LIMIT ?2
