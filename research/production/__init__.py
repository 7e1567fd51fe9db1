"""The production checklist, run against a deployment through its API."""
