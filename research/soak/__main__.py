"""`python -m research.soak`."""

import sys

from research.soak.command import main

if __name__ == "__main__":
    sys.exit(main())
