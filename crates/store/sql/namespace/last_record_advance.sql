UPDATE namespace SET last_record = ?2 WHERE name = ?1
