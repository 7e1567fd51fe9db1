"""The HTTP API: bulk jobs for upstream services."""
