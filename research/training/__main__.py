"""`python -m research.training`: train V4."""

import sys

from research.training.command import main

if __name__ == "__main__":
    sys.exit(main())
