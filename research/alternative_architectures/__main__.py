"""`python -m research.alternative_architectures`: compare V4 with other approaches."""

import sys

from research.alternative_architectures.command import main

if __name__ == "__main__":
    sys.exit(main())
