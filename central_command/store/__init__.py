"""PostgreSQL: the only place where Central Command keeps anything."""
