DELETE FROM record WHERE revision <= ?1
