"""Renders the output of `starlight scan samples` as an SVG for the README."""

import os
import subprocess
import sys
from io import StringIO
from pathlib import Path

from rich.console import Console
from rich.text import Text

ROOT = Path(__file__).parents[1]
WIDTH = 150


def main() -> None:
    """Run the scan as on a terminal of fixed width and print the SVG."""
    environment = {**os.environ, "FORCE_COLOR": "1", "COLUMNS": str(WIDTH)}
    command = [sys.executable, "-m", "producer.cli", "scan", "samples", "--ordered"]
    shown = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, encoding="utf-8", check=False)
    console = Console(record=True, width=WIDTH, file=StringIO())
    console.print(Text("$ starlight scan samples --ordered"))
    console.print(Text.from_ansi(shown.stdout))
    print(console.export_svg(title="starlight"))


if __name__ == "__main__":
    main()
