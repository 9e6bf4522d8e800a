SELECT CASE WHEN min(record.revision) = (SELECT min(start.revision) FROM start) THEN 0 ELSE coalesce(min(record.revision), 0) END
FROM record
