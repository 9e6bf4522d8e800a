SELECT verifier, address, first, last, count FROM presenter WHERE token = ?1 ORDER BY verifier, address
