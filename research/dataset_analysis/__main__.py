"""`python -m research.dataset_analysis`: analyse a corpus."""

import sys

from research.dataset_analysis.command import main

if __name__ == "__main__":
    sys.exit(main())
