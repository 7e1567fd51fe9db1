"""Samples the resource usage of each process of a stack, and computes how fast it grows."""

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from research.processes import Process, Usage, list_family, list_processes, read_usage

# Names of programs by patterns in their command lines; the first match counts.
PROGRAMS = (
    (re.compile(r"-m worker (\S+)"), "worker {}"), (re.compile(r"decoding_process"), "decoder"),
    (re.compile(r"unpacking_process"), "unpacker"), (re.compile(r"-m producer\.cli dispatcher"), "dispatcher"),
    (re.compile(r"-m producer\.cli canary"), "canary"), (re.compile(r"-m producer\.cli up"), "up"),
    (re.compile(r"-m producer\.api"), "api"), (re.compile(r"-m monitoring\.flower"), "flower"),
    (re.compile(r"-m monitoring"), "exporter"), (re.compile(r"(redis|valkey)-server"), "redis"),
    (re.compile(r"postgres"), "postgres"),
)  # fmt: skip
# Share of a process's lifetime that is ignored, while caches and pools fill.
WARM_UP = 0.25
# Samples that a slope needs.
FEWEST = 8
MIB = 2**20


@dataclass(frozen=True, slots=True)
class Sample:
    """What a process of this program uses, `at` seconds from the start."""

    at: float
    process_id: int
    program: str
    usage: Usage


def list_stack(roots: Sequence[int]) -> list[Process]:
    """Return these processes and their descendants."""
    return list_family(list(list_processes()), lambda process: process.pid in roots)


def sample_processes(roots: Sequence[int], at: float) -> list[Sample]:
    """Return samples of these processes and their descendants; skips those that end or cannot be read."""
    samples = []
    for process in list_stack(roots):
        with suppress(OSError):
            usage = read_usage(process.pid)
            if usage.memory and process.command:
                samples.append(Sample(at, process.pid, name_program(process.command), usage))
    return samples


def measure_growth(samples: Sequence[Sample]) -> dict[str, Any]:
    """Return usage and growth per hour for each program, from its process that was sampled longest."""
    lives: dict[str, dict[int, list[Sample]]] = defaultdict(lambda: defaultdict(list))
    for each in samples:
        lives[each.program][each.process_id].append(each)
    figures = {}
    for program, of_program in sorted(lives.items()):
        longest = max(of_program.values(), key=len)
        settled = longest[int(WARM_UP * len(longest)) :]
        row: dict[str, Any] = {
            "processes": len(of_program),
            "memory_mib": round(settled[-1].usage.memory / MIB, 1),
            "most_mib": round(max(each.usage.memory for life in of_program.values() for each in life) / MIB, 1),
            "descriptors": settled[-1].usage.descriptors,
            "threads": settled[-1].usage.threads,
            "watched_hours": round((longest[-1].at - longest[0].at) / 3600, 2),
        }
        if len(settled) >= FEWEST:
            hours = np.array([each.at for each in settled]) / 3600
            row["memory_mib_an_hour"] = round(_slope(hours, [each.usage.memory / MIB for each in settled]), 2)
            row["descriptors_an_hour"] = round(_slope(hours, [each.usage.descriptors for each in settled]), 2)
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


def name_program(command: str) -> str:
    """Return the name of the program with this command line."""
    for pattern, name in PROGRAMS:
        if match := pattern.search(command):
            return name.format(*match.groups())
    return command[:40]
