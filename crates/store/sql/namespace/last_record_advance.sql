UPDATE namespace SET last_record = ?2, set_hash = ?3 WHERE name = ?1
