SELECT id FROM token WHERE revocation = ?1 ORDER BY credential, version
