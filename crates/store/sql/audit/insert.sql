INSERT INTO audit (seq, revision, at, token, credential, address, action, namespace, object, reason, previous, hash)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)
