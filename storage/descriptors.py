"""Descriptors: how many files and connections this process may have open."""

import resource
from contextlib import suppress
from typing import Final

# More would be of no use here, and some systems have no limit at all.
MOST: Final = 65_536


def raise_descriptor_limit() -> int:
    """Let this process have as many descriptors as it may raise its limit to; return how many it may have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST if hard == resource.RLIM_INFINITY else min(MOST, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        # Where the kernel has a limit below the one that it tells of.
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            return wanted
    return MOST if soft == resource.RLIM_INFINITY else soft
