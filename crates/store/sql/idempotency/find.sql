SELECT body, kept, sealed FROM idempotency WHERE principal = ?1 AND key = ?2
