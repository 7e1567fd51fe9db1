"""Measures sources: a local bucket whose objects are listed, submitted by the command, and scanned."""

import os
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from research.benchmark.bucket import BUCKET, PREFIX
from research.benchmark.stack import MeasuredStack
from worker.devices import Device

# Objects that are listed and submitted, but not scanned.
LISTED = 1_000_000


def measure_sources(stack: MeasuredStack, devices: Sequence[Device], objects: int) -> dict[str, Any]:
    """Return time and memory of submitting `LISTED` and `objects` objects, and the rate of scanning the latter."""
    figures: dict[str, Any] = {"objects": objects}
    with serve_bucket(LISTED) as environment:
        _, seconds, peak = submit_prefix(stack, environment)
        figures |= {"list_million_s": seconds, "list_million_peak_mib": peak}
    stack.forget()
    with serve_bucket(objects) as environment:
        # Workers also read from the bucket.
        os.environ.update(environment)
        with stack.workers(devices):
            started = time.monotonic()
            job_id, seconds, peak = submit_prefix(stack, environment)
            figures |= {"submit_s": seconds, "submit_peak_mib": peak}
            stack.finish(job_id)
            took = time.monotonic() - started
        figures |= {"scanned_s": round(took, 1), "objects_per_minute": round(objects / took * 60)}
        job_id, seconds, peak = submit_prefix(stack, environment, "--since", str(job_id))
        assert job_id == NOTHING, "nothing has changed"
        figures |= {"since_s": seconds, "since_peak_mib": peak}
    return figures


NOTHING = uuid.UUID(int=0)


# Runs a command and prints its peak memory (KiB) after its output. It is a small process, because the peak memory of a
# child includes that of its parent at the fork.
LAUNCHER = """
import resource, subprocess, sys
status = subprocess.run(sys.argv[1:]).returncode
print("peak", resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
sys.exit(status)
"""


def submit_prefix(stack: MeasuredStack, environment: Mapping[str, str], *options: str) -> tuple[uuid.UUID, float, int]:
    """Submit the prefix by the command; return the job, the seconds and the peak memory (MiB)."""
    started = time.monotonic()
    command = [sys.executable, "-m", "producer.cli", "submit", f"s3://{BUCKET}/{PREFIX}", *options]
    ran = subprocess.run(
        [sys.executable, "-S", "-c", LAUNCHER, *command],
        env={**os.environ, **stack.environment, **environment},
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    if ran.returncode:
        sys.exit(f"bench: the command ended with {ran.returncode}")
    printed, _, peak = ran.stdout.rpartition("peak ")
    job_id = uuid.UUID(printed.strip()) if printed.strip() else NOTHING
    return job_id, round(time.monotonic() - started, 1), int(peak) // 1024


@contextmanager
def serve_bucket(objects: int) -> Iterator[dict[str, str]]:
    """Serve a bucket of `objects` objects during the block; yield the environment variables to reach it."""
    command = [sys.executable, "-m", "research.benchmark.bucket", str(objects)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        port = int(server.stdout.readline())
        try:
            yield {
                "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
                "AWS_REGION": "here",
                "AWS_ACCESS_KEY_ID": "nobody",
                "AWS_SECRET_ACCESS_KEY": "nothing",
            }
        finally:
            server.terminate()
