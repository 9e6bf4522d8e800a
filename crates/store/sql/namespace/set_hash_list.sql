SELECT name, last_record, set_hash FROM namespace ORDER BY name
