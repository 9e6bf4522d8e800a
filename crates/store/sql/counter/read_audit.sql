SELECT audit_seq, audit_hash FROM counter WHERE id = 1
