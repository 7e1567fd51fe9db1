"""Effects of a long backlog: submitting it, scanning in its presence, and the latency of a lone image."""

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from research.benchmark.stack import MeasuredStack
from starlight_vocabulary.words import Priority

# Submits in a separate process, to measure its memory alone.
SUBMIT = """
import json, resource, sys, time
from storage.database import connect
from storage.submission import submit_job
url, count, size = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
engine = connect(url)
started = time.perf_counter()
submit_job(engine, (f"file:///images/{n // 1000}/{n}.png" for n in range(count)), submitter="bench", chunk_size=size)
seconds = time.perf_counter() - started
print(json.dumps([count / seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024]))
"""


def measure_submission(stack: MeasuredStack, references: int, rounds: int) -> dict[str, Any]:
    """Return references per second, and the additional memory (MiB) compared with a hundredth of the references."""
    few: list[tuple[float, float]] = []
    many: list[tuple[float, float]] = []
    for _ in range(rounds):
        for count, into in ((references // 100, few), (references, many)):
            arguments = [stack.addresses.database_url, str(count), str(stack.settings.chunk_size)]
            ran = subprocess.run([sys.executable, "-c", SUBMIT, *arguments], stdout=subprocess.PIPE, check=True)
            into.append(tuple(json.loads(ran.stdout)))
            stack.forget()
    return {
        "submitted_references": references,
        "submitted_references_per_second": round(statistics.median(rate for rate, _ in many)),
        "submission_memory_growth_mib": round(
            statistics.median(memory for _, memory in many) - statistics.median(memory for _, memory in few), 1
        ),
    }


def measure_backlog(stack: MeasuredStack, uris: Sequence[str], waiting: int, rounds: int) -> dict[str, Any]:
    """Return the throughput with `waiting` images in the queue relative to a hundredth; workers must be running."""
    rates: dict[int, list[float]] = {waiting // 100: [], waiting: []}
    scanned = min(waiting // 100, 10_000)
    for _ in range(rounds):
        for count, measured in rates.items():
            # The images to scan are added, so that `count` still wait at the end.
            job_id = stack.submit([uris[number % len(uris)] for number in range(count + scanned)])
            stack.finish(job_id, scanned // 5)
            started = time.perf_counter()
            stack.finish(job_id, scanned)
            measured.append(60 * (scanned - scanned // 5) / (time.perf_counter() - started))
            print(f"{count:,} waiting: {measured[-1]:,.0f} images/min", file=sys.stderr)
            stack.forget()
    ratio = statistics.median(a / b for a, b in zip(rates[waiting], rates[waiting // 100], strict=True))
    return {"waiting_images": waiting, "ratio_waiting": round(ratio, 3)}


def measure_lone_images(stack: MeasuredStack, uris: Sequence[str], count: int, bulk: int) -> dict[str, Any]:
    """Return the time (ms) from submission to verdict of a lone image, when idle and during a bulk job."""
    idle = _lone_images(stack, uris, count)
    bulk_id = stack.submit([uris[number % len(uris)] for number in range(bulk)], submitter="somebody else")
    stack.finish(bulk_id, bulk // 20)
    busy = _lone_images(stack, uris, count)
    stack.forget()
    return {
        "bulk_images": bulk,
        **{f"lone_image_idle_p{p}_ms": round(float(np.percentile(idle, p)), 1) for p in (50, 99)},
        **{f"lone_image_in_bulk_p{p}_ms": round(float(np.percentile(busy, p)), 1) for p in (50, 99)},
    }


def _lone_images(stack: MeasuredStack, uris: Sequence[str], count: int) -> list[float]:
    took = []
    for number in range(count):
        started = time.perf_counter()
        stack.finish(stack.submit([uris[number % len(uris)]], priority=Priority.INTERACTIVE, submitter="one person"))
        took.append(1000 * (time.perf_counter() - started))
    return took
