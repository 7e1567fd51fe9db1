"""Where a report goes: to a file, and to a page beside it."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any


def write_report(report: Mapping[str, Any], path: Path, write_page: Callable[[Mapping[str, Any], Path], None]) -> None:
    """Write a report as JSON to `path`, whose folder is made if missing, and its page beside it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    write_page(report, path.with_suffix(".md"))
