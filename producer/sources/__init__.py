"""From what a person names to references: files, folders, globs, lists and archives."""
