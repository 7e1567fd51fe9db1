"""Flower: chunks on their way through Celery, for people."""
