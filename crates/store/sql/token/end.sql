UPDATE token SET end_reason = ?2, ended_at = ?3, revocation = ?4
WHERE end_reason IS NULL AND id IN (SELECT unhex(value) FROM json_each(?1))
