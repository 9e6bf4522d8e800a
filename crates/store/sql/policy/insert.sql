INSERT INTO policy (revision, namespace, freshness) VALUES (?1, ?2, ?3)
