INSERT INTO usage (token, used_first, used_last, used_count, presented_first, presented_last, presented_count)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
ON CONFLICT (token) DO UPDATE SET
    used_first = excluded.used_first, used_last = excluded.used_last, used_count = excluded.used_count,
    presented_first = excluded.presented_first, presented_last = excluded.presented_last,
    presented_count = excluded.presented_count
