"""The checklist of production, run against a deployment through its API."""
