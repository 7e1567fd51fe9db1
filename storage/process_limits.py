"""What the system refuses to processes that read strangers' bytes."""

import resource
from pathlib import Path
from typing import Final

MAX_OPEN_FILES: Final = 16


def end_first() -> None:
    """Have the system choose this process where it ends one because there is no memory left."""
    Path("/proc/self/oom_score_adj").write_text("1000")


def limit_resources(max_bytes: int) -> None:
    """Have the system refuse this process more than `max_bytes` of memory on top of what it has, files and dumps."""
    mapped_pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = mapped_pages * resource.getpagesize() + max_bytes
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    resource.setrlimit(resource.RLIMIT_NOFILE, (MAX_OPEN_FILES, MAX_OPEN_FILES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def limit_processor_time(seconds: int) -> None:
    """Have the system end this process with SIGXCPU after so many seconds of processor time."""
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))


def forbid_writing_files() -> None:
    """Have the system refuse this process a single byte in any file."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
