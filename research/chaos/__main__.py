"""`scripts/chaos`."""

import sys

from research.chaos.command import main

if __name__ == "__main__":
    sys.exit(main())
