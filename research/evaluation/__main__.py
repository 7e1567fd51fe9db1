"""`python -m research.evaluation`: measure V4."""

import sys

from research.evaluation.command import main

if __name__ == "__main__":
    sys.exit(main())
