"""A PostgreSQL server of our own, for one-command runs and tests. Production uses a real one."""
