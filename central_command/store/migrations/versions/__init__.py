"""Alembic reads these files itself, by their numbers."""
