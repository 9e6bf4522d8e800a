INSERT INTO audit (revision, at, token, credential, address, action, namespace, object, reason)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
