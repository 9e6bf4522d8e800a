SELECT last_record, set_hash FROM namespace WHERE name = ?1
