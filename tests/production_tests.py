#!/usr/bin/env python3
"""Checks a deployment before customers use it: `tests/production_tests.py --url URL --key KEY [--json FILE]`.

It scans drawn images, loads the API for ten minutes, sends unusual and hostile files, tries forbidden requests, and
checks that every image is accounted for. A short form runs in the test suite against `starlight up`.
"""

import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PYTHON = ROOT / ".venv" / "bin" / "python"

if __name__ == "__main__":
    if PYTHON.exists() and Path(sys.prefix).resolve() != ROOT / ".venv":
        os.execv(PYTHON, [str(PYTHON), *sys.argv])
    sys.path.insert(0, str(ROOT))
    from research.production.command import main

    sys.exit(main())
