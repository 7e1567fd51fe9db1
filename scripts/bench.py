#!/usr/bin/env python3
"""Measure throughput, latency, memory and start times: `scripts/bench.py [api] [--quick] [--json] [--device cuda]`."""

import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PYTHON = ROOT / ".venv" / "bin" / "python"

if __name__ == "__main__":
    if PYTHON.exists() and Path(sys.prefix).resolve() != ROOT / ".venv":
        os.execv(PYTHON, [str(PYTHON), *sys.argv])  # noqa: S606  (no shell is wanted)
    sys.path.insert(0, str(ROOT))
    from research.benchmark.command import main

    main()
