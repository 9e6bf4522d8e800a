SELECT namespace, issued_at FROM token WHERE id = ?1
