"""Watching sources: what appears in them is submitted, in small jobs, each file and block once."""
