"""What commands that make a report have in common: options, and where it goes: to a file, and a page beside it."""

import argparse
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from worker.v4.card import DEFAULT_MODEL


def write_report(report: Mapping[str, Any], path: Path, write_page: Callable[[Mapping[str, Any], Path], None]) -> None:
    """Write a report as JSON to `path`, whose folder is made if missing, and its page beside it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    write_page(report, path.with_suffix(".md"))


def add_report_options(parser: argparse.ArgumentParser) -> None:
    """Add where the report goes, and by which seed and model it is made."""
    parser.add_argument("--json", type=Path, help="write all figures here, and as a page with pictures beside it")
    parser.add_argument("--seed", type=int, default=19)
    parser.add_argument("--model", type=Path, default=DEFAULT_MODEL)
