"""Keeping workers supplied with chunks, and receivers with webhooks."""
