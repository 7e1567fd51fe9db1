"""Limits that the kernel enforces on processes that read strangers' bytes."""

import resource
from pathlib import Path
from typing import Final

MAX_OPEN_FILES: Final = 16


def end_first() -> None:
    """Make the kernel's out-of-memory killer choose this process first."""
    Path("/proc/self/oom_score_adj").write_text("1000")


def limit_resources(max_bytes: int) -> None:
    """Limit this process's memory to `max_bytes` more than it has now; forbid writing files and core dumps."""
    mapped_pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = mapped_pages * resource.getpagesize() + max_bytes
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    resource.setrlimit(resource.RLIMIT_NOFILE, (MAX_OPEN_FILES, MAX_OPEN_FILES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def limit_processor_time(seconds: int) -> None:
    """Have the kernel end this process with SIGXCPU after so many seconds of processor time."""
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))


def forbid_writing_files() -> None:
    """Forbid this process to write to files."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
