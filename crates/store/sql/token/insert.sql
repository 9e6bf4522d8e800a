INSERT INTO token (id, credential, namespace, version, digest, scheme, hint, birth, issued_at, expires_at)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)
