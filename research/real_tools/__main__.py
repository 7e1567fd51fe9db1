"""`python -m research.real_tools`: measure V4 on what real programs write."""

import sys

from research.real_tools.command import main

if __name__ == "__main__":
    sys.exit(main())
