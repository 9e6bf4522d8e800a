SELECT number FROM usage_report WHERE session = ?1
