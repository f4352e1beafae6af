"""Alembic's folder: the steps that lead an older database to today's tables."""
