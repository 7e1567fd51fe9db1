"""The `starlight` command."""

from producer.cli.command import main

__all__ = ["main"]
