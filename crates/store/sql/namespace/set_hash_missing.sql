SELECT name FROM namespace WHERE set_hash IS NULL ORDER BY name
