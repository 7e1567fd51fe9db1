"""Processor time of one image by pipeline stage and by process."""

import hashlib
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from research.benchmark.stack import MeasuredStack
from research.processes import Process, list_family, list_processes
from storage.blobs import Blobs
from worker.devices import Device
from worker.scanning.budget import Budget
from worker.scanning.content import ContentReader
from worker.scanning.decoding import Decoder
from worker.scanning.loading import Loader
from worker.v4.card import DEFAULT_MODEL
from worker.v4.detector import Detector
from worker.v4.planes import extract_planes
from worker.v4.streams import compute
from worker.v4.streams import stack as stack_planes

BATCH = 64


def measure_costs(stack: MeasuredStack, devices: Sequence[Device], uris: Sequence[str], rounds: int) -> dict[str, Any]:
    """Return the microseconds of processor time per image in each stage and in each kind of process.

    The stages run alone in one thread of this process. What workers need beyond them is spent on Python, its lock,
    handing over between threads, and communication with the servers. Workers must be running.
    """
    stages = {name: min(times) for name, times in _stages(stack, devices[0], uris, rounds).items()}
    stack.finish(stack.submit(uris))
    before = _processes(stack)
    for _ in range(rounds):
        stack.finish(stack.submit(uris))
    images = rounds * len(uris)
    around = {name: (spent - before.get(name, 0.0)) / images for name, spent in _processes(stack).items()}
    stack.forget()
    around["worker_python_and_handing_over"] = around.pop("worker") - sum(stages.values())
    return {f"cost_{name}_us": round(1e6 * seconds, 1) for name, seconds in (stages | around).items()}


def _stages(stack: MeasuredStack, device: Device, uris: Sequence[str], rounds: int) -> dict[str, list[float]]:
    torch.set_num_threads(1)
    loader = Loader(Blobs(stack.settings.blobs()))
    reader = ContentReader(stack.settings.max_image_bytes, Budget(stack.settings.large_images_bytes))
    decoder = Decoder(stack.settings.max_image_pixels, Budget(stack.settings.decode_budget_bytes))
    detector = Detector.load(DEFAULT_MODEL, device.torch_name)
    spent: dict[str, list[float]] = {}
    for _ in range(rounds):
        clock = Clock()
        planes: list[np.void] = []
        for uri in uris:
            with clock.counting("load"):
                content = loader.load(uri, reader)
            content.release()
            data = content.data
            with clock.counting("hash"):
                hashlib.sha256(data).digest()
            with clock.counting("decode"), decoder.decode_first_rows(data):
                pass
            with decoder.decode_first_rows(data) as (image, height, _), clock.counting("planes"):
                planes.append(extract_planes(image, data, height=height))
        with torch.inference_mode():
            for start in range(0, len(planes), BATCH):
                with clock.counting("streams"):
                    streams = compute(stack_planes(planes[start : start + BATCH], detector.device))
                with clock.counting("network"):
                    detector.network(streams).stego.tolist()
        for name, seconds in clock.spent.items():
            spent.setdefault(name, []).append(seconds / len(uris))
    return spent


class Clock:
    """Accumulates this thread's processor time by name."""

    def __init__(self) -> None:
        self.spent: dict[str, float] = {}

    @contextmanager
    def counting(self, name: str) -> Iterator[None]:
        """Add the processor time of the block."""
        started = time.thread_time()
        yield
        self.spent[name] = self.spent.get(name, 0.0) + time.thread_time() - started


def _processes(stack: MeasuredStack) -> dict[str, float]:
    """Return the processor seconds so far of each kind of process of the stack; decoding processes are workers'."""
    found = list(list_processes())
    spent = {"worker": sum(each.processor_s for each in list_family(found, lambda each: each.is_worker))}
    for process in found:
        if name := _kind(process, stack):
            spent[name] = spent.get(name, 0.0) + process.processor_s
    return spent


def _kind(process: Process, stack: MeasuredStack) -> str | None:
    arguments = process.command
    if process.is_ours and " dispatcher" in arguments:
        return "dispatcher"
    if arguments.startswith("postgres:") or ("postgres" in arguments and str(stack.settings.data_dir) in arguments):
        return "postgresql"
    return "redis" if "redis-server" in arguments or "valkey-server" in arguments else None
