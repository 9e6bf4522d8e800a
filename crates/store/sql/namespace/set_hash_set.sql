UPDATE namespace SET set_hash = ?2 WHERE name = ?1
