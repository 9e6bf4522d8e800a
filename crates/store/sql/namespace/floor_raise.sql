UPDATE namespace SET receipt_floor = max(receipt_floor, ?2) WHERE name = ?1
