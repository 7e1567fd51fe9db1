"""`python -m research.evasion`: hide from V4 and count what it finds."""

import sys

from research.evasion.command import main

if __name__ == "__main__":
    sys.exit(main())
