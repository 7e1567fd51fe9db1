"""The processes of this machine, as Linux's /proc shows them."""

import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
PROPORTIONAL = re.compile(r"^Pss:\s+(\d+) kB", re.MULTILINE)
PRIVATE = re.compile(r"^Private_(?:Clean|Dirty):\s+(\d+) kB", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Process:
    """A process: its command line, its processor time in seconds, and its peak memory in MiB."""

    pid: int
    parent: int
    command: str
    processor_s: float
    peak_mib: float

    @property
    def is_ours(self) -> bool:
        """Whether this process started it."""
        return self.parent == os.getpid()

    @property
    def is_worker(self) -> bool:
        """Whether it is a worker that this process started."""
        return self.is_ours and "-m worker " in self.command


@dataclass(frozen=True, slots=True)
class Usage:
    """What a process uses: private memory in bytes, open descriptors, threads.

    Shared pages do not count: a process's part of them depends on which other processes run.
    """

    memory: int
    descriptors: int
    threads: int


def list_processes() -> Iterator[Process]:
    """Yield the processes of this machine; skips those that end meanwhile."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            # Fields of proc(5) from the third on: the second, the name in parentheses, may contain anything.
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            status = dict(line.split(":", 1) for line in (folder / "status").read_text().splitlines() if ":" in line)
        except OSError:
            continue
        processor_s = (int(fields[11]) + int(fields[12])) / TICKS
        peak_mib = int(status.get("VmHWM", "0").split()[0]) / 1024
        yield Process(int(folder.name), int(fields[1]), command, processor_s, peak_mib)


def list_family(found: Sequence[Process], is_head: Callable[[Process], bool]) -> list[Process]:
    """Return the processes for which `is_head` is true, and their descendants."""
    family = {each.pid for each in found if is_head(each)}
    while more := {each.pid for each in found if each.parent in family} - family:
        family |= more
    return [each for each in found if each.pid in family]


def read_usage(process_id: int) -> Usage:
    """Return what a process uses; raises OSError if it has ended or cannot be read."""
    folder = Path(f"/proc/{process_id}")
    memory = 1024 * sum(map(int, PRIVATE.findall((folder / "smaps_rollup").read_text())))
    return Usage(memory, len(list((folder / "fd").iterdir())), len(list((folder / "task").iterdir())))


def read_proportional_mib(process_id: int) -> float:
    """Return the proportional set size in MiB, in which shared pages count in parts; 0 if the process has ended."""
    try:
        text = Path(f"/proc/{process_id}/smaps_rollup").read_text()
    except OSError:
        return 0.0
    return sum(map(int, PROPORTIONAL.findall(text))) / 1024
