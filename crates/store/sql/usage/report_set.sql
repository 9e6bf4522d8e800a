INSERT INTO usage_report (session, number, until, last) VALUES (?1, ?2, ?3, ?4)
ON CONFLICT (session) DO UPDATE SET number = excluded.number, until = excluded.until, last = excluded.last
