SELECT revision, predecessor, namespace, start, chain_hash, set_hash, committed_at, changes
FROM record WHERE revision = ?1
