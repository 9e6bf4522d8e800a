SELECT revision, start, chain_hash FROM record ORDER BY revision DESC LIMIT 1
