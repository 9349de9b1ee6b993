"""Alembic's migrations of our tables."""
