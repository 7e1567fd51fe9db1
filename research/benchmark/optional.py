"""Tells whether a library that only comparisons need is installed."""

import sys
from importlib.util import find_spec


def is_installed(module: str, name: str, requirement: str) -> bool:
    """Return whether a comparison's library can be imported; if not, print one line that says how to get it."""
    if find_spec(module):
        return True
    print(f"bench: {name} is not compared: it is not installed (pip install '{requirement}')", file=sys.stderr)
    return False
