"""The `starlight` command."""
