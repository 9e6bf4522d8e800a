DELETE FROM session WHERE session IN (
    SELECT session FROM session AS old
    WHERE ended_at < ?1 AND NOT EXISTS (
        SELECT 1 FROM revocation WHERE receipt_completed_at IS NULL AND committed_at <= old.ended_at
    )
    ORDER BY ended_at, session LIMIT ?2
)
