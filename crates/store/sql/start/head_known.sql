SELECT
    (SELECT coalesce(
        (SELECT later.before FROM start AS later WHERE later.revision > own.revision ORDER BY later.revision LIMIT 1),
        (SELECT counter.revision FROM counter WHERE counter.id = 1)
    ) FROM start AS own WHERE own.start = ?1),
    (SELECT chain_hash FROM record WHERE revision = ?2),
    (SELECT coalesce(min(revision), 0) FROM record)
