"""Formats tables and rates as Markdown."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any


def make_table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table; `|` in cells is escaped."""
    lines = [titles, ["---"] * len(titles), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', '&#124;') for cell in line)} |" for line in lines)


def write_rate(rate: Mapping[str, Any]) -> str:
    """Return a share with its confidence interval."""
    low, high = rate["interval95"]
    return f"{rate['share']:.3%} ({low:.3%} to {high:.3%})"
