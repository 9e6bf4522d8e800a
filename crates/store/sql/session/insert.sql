INSERT INTO session (session, verifier, credential, namespaces, opened, opened_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
ON CONFLICT (session) DO NOTHING
