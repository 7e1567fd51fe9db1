"""What each process of a stack holds, read now and then, and how fast that grows."""

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

# Programs by what stands in their command lines; the first that matches.
PROGRAMS = (
    (re.compile(r"-m worker (\S+)"), "worker {}"), (re.compile(r"decoding_process"), "decoder"),
    (re.compile(r"unpacking_process"), "unpacker"), (re.compile(r"-m producer\.cli dispatcher"), "dispatcher"),
    (re.compile(r"-m producer\.cli canary"), "canary"), (re.compile(r"-m producer\.cli up"), "up"),
    (re.compile(r"-m producer\.api"), "api"), (re.compile(r"-m monitoring\.flower"), "flower"),
    (re.compile(r"-m monitoring"), "exporter"), (re.compile(r"(redis|valkey)-server"), "redis"),
    (re.compile(r"postgres"), "postgres"),
)  # fmt: skip
PRIVATE = re.compile(r"^Private_(?:Clean|Dirty):\s+(\d+) kB", re.MULTILINE)
# Of a process's life, what is not counted: caches and pools fill.
WARM_UP = 0.25
FEWEST = 8
MIB = 2**20


@dataclass(frozen=True, slots=True)
class Held:
    """What one process holds at a moment: `at` in seconds, memory of its own in bytes, open descriptors, threads.

    Pages that others share do not count: how much of them is a process's depends on who else runs.
    """

    at: float
    process_id: int
    program: str
    memory: int
    descriptors: int
    threads: int


def sample_processes(roots: Sequence[int], at: float) -> list[Held]:
    """Return what these processes and all below them hold, but for those that end meanwhile or may not be read."""
    held = []
    for process_id in [*roots, *_list_below(roots)]:
        folder = Path(f"/proc/{process_id}")
        try:
            command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            memory = sum(map(int, PRIVATE.findall((folder / "smaps_rollup").read_text())))
            descriptors = len(list((folder / "fd").iterdir()))
            threads = len(list((folder / "task").iterdir()))
        except OSError:
            continue
        if memory and command:
            held.append(Held(at, process_id, _name(command), memory * 1024, descriptors, threads))
    return held


def measure_growth(samples: Sequence[Held]) -> dict[str, Any]:
    """Return for each program what it holds and how that grows in an hour, from the process that was seen longest."""
    lives: dict[str, dict[int, list[Held]]] = defaultdict(lambda: defaultdict(list))
    for each in samples:
        lives[each.program][each.process_id].append(each)
    figures = {}
    for program, of_program in sorted(lives.items()):
        longest = max(of_program.values(), key=len)
        settled = longest[int(WARM_UP * len(longest)) :]
        row: dict[str, Any] = {
            "processes": len(of_program),
            "memory_mib": round(settled[-1].memory / MIB, 1),
            "most_mib": round(max(each.memory for life in of_program.values() for each in life) / MIB, 1),
            "descriptors": settled[-1].descriptors,
            "threads": settled[-1].threads,
            "watched_hours": round((longest[-1].at - longest[0].at) / 3600, 2),
        }
        if len(settled) >= FEWEST:
            hours = np.array([each.at for each in settled]) / 3600
            row["memory_mib_an_hour"] = round(_slope(hours, [each.memory / MIB for each in settled]), 2)
            row["descriptors_an_hour"] = round(_slope(hours, [each.descriptors for each in settled]), 2)
        figures[program] = row
    return figures


def measure_disk(folder: Path) -> dict[str, int]:
    """Return the bytes below each folder of the data folder; what goes away meanwhile does not count."""
    return {each.name: sum(_sizes(each)) for each in sorted(folder.iterdir()) if each.is_dir()}


def _sizes(folder: Path) -> Iterator[int]:
    for path in folder.rglob("*"):
        try:
            if path.is_file() and not path.is_symlink():
                yield path.stat().st_size
        except OSError:
            continue


def _slope(hours: "np.ndarray[Any, np.dtype[np.float64]]", values: Sequence[float]) -> float:
    return float(np.polyfit(hours - hours[0], np.array(values, float), 1)[0])


def _list_below(roots: Sequence[int]) -> list[int]:
    found: list[int] = []
    left = list(roots)
    while left:
        for listed in Path(f"/proc/{left.pop()}/task").glob("*/children"):
            try:
                children = [int(child) for child in listed.read_text().split()]
            except OSError:
                continue
            found += children
            left += children
    return found


def _name(command: str) -> str:
    for pattern, name in PROGRAMS:
        if match := pattern.search(command):
            return name.format(*match.groups())
    return command[:40]
