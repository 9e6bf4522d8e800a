DELETE FROM presenter WHERE token = ?1 AND verifier = ?2 AND address = ?3
