"""Expanding sources into references: files, folders, globs, lists, archives, manifests and prefixes of buckets."""
