SELECT revision, start, chain_hash, authority_time FROM counter WHERE id = 1
