"""Pools of one decoding process."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from worker.scanning.budget import Budget
from worker.scanning.decoding_pool import DecodingPool
from worker.scanning.decoding_process import DecodingLimits

LIMITS = DecodingLimits(max_pixels=50_000_000, max_seconds=30.0, max_bytes=2**30, max_message_bytes=64)
MEMORY = 64 * 2**20
OpenPool = Callable[..., DecodingPool]


@contextmanager
def open_pools() -> Iterator[OpenPool]:
    """Yield a function that opens a pool, with other limits, another budget or another module if given."""
    pools = []

    def open_one(limits: DecodingLimits = LIMITS, budget: Budget | None = None, **more: str) -> DecodingPool:
        pools.append(DecodingPool(1, limits, MEMORY, budget or Budget(MEMORY), **more))
        return pools[-1]

    try:
        yield open_one
    finally:
        for pool in pools:
            pool.stop()


def list_child_processes() -> set[int]:
    """Return the process ids of this process's children."""
    children = Path("/proc/self/task").glob("*/children")
    return {int(pid) for listed in children for pid in listed.read_text().split()}
