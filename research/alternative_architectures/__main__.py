"""`python -m research.alternative_architectures`: measure three other approaches beside V4."""

import sys

from research.alternative_architectures.command import main

if __name__ == "__main__":
    sys.exit(main())
