"""Options and output files shared by the commands that write a report."""

import argparse
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from worker.v4.card import DEFAULT_MODEL


def write_report(report: Mapping[str, Any], path: Path, write_page: Callable[[Mapping[str, Any], Path], None]) -> None:
    """Write a report as JSON to `path`, creating its folder if missing, and its page beside it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    write_page(report, path.with_suffix(".md"))


def add_report_options(parser: argparse.ArgumentParser) -> None:
    """Add the options for the report's file, the seed and the model."""
    parser.add_argument("--json", type=Path, help="write the report to this file, and a page with plots beside it")
    parser.add_argument("--seed", type=int, default=19)
    parser.add_argument("--model", type=Path, default=DEFAULT_MODEL)
