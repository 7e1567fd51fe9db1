"""Flower, which shows people the chunks in Celery."""
