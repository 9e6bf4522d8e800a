DELETE FROM idempotency WHERE until <= ?1
