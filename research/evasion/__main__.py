"""`python -m research.evasion`: measure evasion of V4."""

import sys

from research.evasion.command import main

if __name__ == "__main__":
    sys.exit(main())
