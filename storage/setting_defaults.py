"""Defaults of settings that depend on the machine and the account."""

import getpass
import os
import sys
from pathlib import Path


def default_data_dir() -> Path:
    """Return the folder for servers' data and blobs: the system's for root, else the user's own."""
    if os.geteuid() == 0:
        return Path("/var/lib/starlight")
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local/share") / "starlight"


def count_usable_cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def default_submitter() -> str:
    """Return the login name, or the numeric user id if the account has no name."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid-{os.geteuid()}"
