SELECT namespace, revision, freshness FROM policy ORDER BY revision
