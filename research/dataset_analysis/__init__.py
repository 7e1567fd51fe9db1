"""Analyses a corpus of clean images: contents, duplicates, and the claims that it can support."""
