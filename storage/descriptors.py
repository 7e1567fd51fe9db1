"""The number of files and connections that this process may open."""

import resource
from contextlib import suppress
from typing import Final

# Higher limits have no use here, and some systems have none at all.
MOST: Final = 65_536


def raise_descriptor_limit() -> int:
    """Raise this process's limit of open files as far as it may; return the limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST if hard == resource.RLIM_INFINITY else min(MOST, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        # The kernel may enforce a lower limit than the one it reports.
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            return wanted
    return MOST if soft == resource.RLIM_INFINITY else soft
