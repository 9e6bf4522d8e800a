SELECT name, last_record FROM namespace ORDER BY name
