INSERT INTO session (session, verifier, credential, namespaces, opened, opened_at, place, end_kind, ended_at)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
ON CONFLICT (session) DO NOTHING
