#!/usr/bin/env python3
"""Check a deployment before customers do: `tests/production_tests.py --url URL --key KEY [--json FILE]`.

It detects drawn images, loads the API for ten minutes, sends what is odd and hostile, tries what nobody may do, and
looks whether everything is accounted for. The short form runs in the suite against `starlight up`.
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
