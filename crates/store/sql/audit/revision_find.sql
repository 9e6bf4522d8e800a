SELECT revision FROM audit WHERE seq = ?1
