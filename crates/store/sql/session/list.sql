SELECT session, verifier, credential, namespaces, opened, opened_at, end_kind, ended_at, place FROM session ORDER BY opened, session
