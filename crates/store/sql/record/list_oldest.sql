SELECT revision, committed_at FROM record
WHERE
    revision < (SELECT revision FROM counter WHERE id = 1)
    AND revision < coalesce((SELECT min(revision) FROM revocation WHERE receipt_completed_at IS NULL), 9223372036854775807)
ORDER BY revision LIMIT ?1
