UPDATE audit SET previous = ?2, hash = ?3 WHERE seq = ?1
