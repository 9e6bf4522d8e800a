SELECT last_record FROM namespace WHERE name = ?1
