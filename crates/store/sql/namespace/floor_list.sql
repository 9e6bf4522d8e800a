SELECT name, receipt_floor FROM namespace WHERE receipt_floor > 0 ORDER BY name
