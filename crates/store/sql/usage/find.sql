SELECT used_first, used_last, used_count, presented_first, presented_last, presented_count FROM usage WHERE token = ?1
