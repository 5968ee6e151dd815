"""Alembic migrations of the records' tables."""
