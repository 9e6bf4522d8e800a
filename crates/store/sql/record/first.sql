SELECT coalesce(min(revision), 0) FROM record
