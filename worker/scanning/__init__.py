"""From references to verdicts, in one process: no Celery and no SQL."""
