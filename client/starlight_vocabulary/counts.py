"""Counts as text."""


def format_count(count: int, noun: str) -> str:
    """Return the count with its noun: `1 image`, `1,000 images`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
