UPDATE token SET collected = ?2 WHERE id = ?1
