INSERT INTO start (revision, start, before) VALUES (?1, ?2, ?3)
