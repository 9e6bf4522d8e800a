INSERT INTO idempotency (principal, key, body, kept, sealed, until) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
