"""Samples the resource usage of each process of a stack, and computes how fast it grows."""

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

# Names of programs by patterns in their command lines; the first match counts.
PROGRAMS = (
    (re.compile(r"-m worker (\S+)"), "worker {}"), (re.compile(r"decoding_process"), "decoder"),
    (re.compile(r"unpacking_process"), "unpacker"), (re.compile(r"-m producer\.cli dispatcher"), "dispatcher"),
    (re.compile(r"-m producer\.cli canary"), "canary"), (re.compile(r"-m producer\.cli up"), "up"),
    (re.compile(r"-m producer\.api"), "api"), (re.compile(r"-m monitoring\.flower"), "flower"),
    (re.compile(r"-m monitoring"), "exporter"), (re.compile(r"(redis|valkey)-server"), "redis"),
    (re.compile(r"postgres"), "postgres"),
)  # fmt: skip
PRIVATE = re.compile(r"^Private_(?:Clean|Dirty):\s+(\d+) kB", re.MULTILINE)
# Share of a process's lifetime that is ignored, while caches and pools fill.
WARM_UP = 0.25
# Samples that a slope needs.
FEWEST = 8
MIB = 2**20


@dataclass(frozen=True, slots=True)
class Usage:
    """Resource usage of one process: time `at` in seconds, private memory in bytes, open descriptors, threads.

    Shared pages do not count: a process's part of them depends on which other processes run.
    """

    at: float
    process_id: int
    program: str
    memory: int
    descriptors: int
    threads: int


def sample_processes(roots: Sequence[int], at: float) -> list[Usage]:
    """Return the usage of these processes and their descendants; skips those that end or cannot be read."""
    usages = []
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
            usages.append(Usage(at, process_id, _name(command), memory * 1024, descriptors, threads))
    return usages


def measure_growth(samples: Sequence[Usage]) -> dict[str, Any]:
    """Return usage and growth per hour for each program, from its process that was sampled longest."""
    lives: dict[str, dict[int, list[Usage]]] = defaultdict(lambda: defaultdict(list))
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
    """Return the size in bytes of each folder in the data folder; skips files that vanish meanwhile."""
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
