SELECT set_hash FROM namespace WHERE name = ?1
