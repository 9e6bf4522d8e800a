SELECT session, verifier, credential, namespaces, opened, opened_at, end_kind, ended_at, place FROM session WHERE session = ?1
