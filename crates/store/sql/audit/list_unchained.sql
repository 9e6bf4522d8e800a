SELECT seq, revision, at, token, credential, address, action, namespace, object, reason
FROM audit ORDER BY seq
