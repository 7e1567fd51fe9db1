"""Alembic migrations, run by `starlight db upgrade`."""
