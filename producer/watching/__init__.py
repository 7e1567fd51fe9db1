"""Watching sources: new files and blocks are submitted in small jobs, each of them once."""
