INSERT INTO presenter (token, verifier, address, first, last, count) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
ON CONFLICT (token, verifier, address) DO UPDATE SET first = excluded.first, last = excluded.last, count = excluded.count
