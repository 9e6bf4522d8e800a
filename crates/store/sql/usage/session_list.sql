SELECT session.namespaces, session.opened_at, session.ended_at, usage_report.until, ifnull(usage_report.last, 0)
FROM session LEFT JOIN usage_report ON usage_report.session = session.session
