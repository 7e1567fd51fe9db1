"""Images per minute: end to end, the same pipeline in this process, other designs, and decoding alone.

All ways scan the same images in alternation, so that the machine's drift affects them equally; the ratios of
neighbouring runs count.
"""

import multiprocessing
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import Any

import torch

from research.benchmark.file_by_file import FileByFile
from research.benchmark.per_image import celery_per_image
from research.benchmark.ray_data import find_ray_data
from research.benchmark.stack import MeasuredStack
from storage.setting_defaults import count_usable_cores
from storage.settings import Settings
from worker.devices import Device
from worker.scanning.pipeline import Pipeline
from worker.tuning import scan_in_chunks
from worker.v4.card import DEFAULT_MODEL
from worker.v4.detector import Detector

Way = Callable[[Sequence[str]], float | None]
"""Scans images; returns the seconds of them that do not count, if there are any."""

# Slow ways scan only a part of the images.
SLOW = ("process_pool", "celery_per_image")
SLOW_SHARE = 4
SPAWN = multiprocessing.get_context("spawn")
GROUP = 64


def measure_throughput(
    stack: MeasuredStack, devices: Sequence[Device], uris: Sequence[str], rounds: int
) -> dict[str, Any]:
    """Return the rates of all ways, their spread, and the ratio of the first one to each other."""
    with ExitStack() as running:
        running.enter_context(stack.workers(devices))
        ways: dict[str, Way] = {
            "end_to_end": lambda images: stack.finish(stack.submit(images)),
            "in_process": running.enter_context(in_process(stack.settings, devices[0])),
            "decode_only": running.enter_context(decode_only()),
            "bare_loop": running.enter_context(bare_loop(devices[0])),
            "process_pool": running.enter_context(process_pool(devices[0])),
            "celery_per_image": running.enter_context(celery_per_image(stack, devices[0])),
        }
        if ray_data := find_ray_data(devices[0]):
            ways["ray_data"] = ray_data
        rates = alternate(ways, uris, rounds)
    figures: dict[str, Any] = {"images_per_minute": round(statistics.median(rates["end_to_end"]))}
    for other in list(ways)[1:]:
        figures[f"ratio_{other}"] = median_ratio(rates, "end_to_end", other)
    figures |= rate_figures(rates)
    return figures | ({"ray_data_start_s": round(statistics.median(ray_data.starts_s), 1)} if ray_data else {})


def alternate(ways: Mapping[str, Way], uris: Sequence[str], rounds: int) -> dict[str, list[float]]:
    """Return images per minute of each way in each round, after a warm-up round."""
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds + 1):
        for name, scan in ways.items():
            images = uris[: len(uris) // SLOW_SHARE] if name in SLOW else uris
            started = time.perf_counter()
            aside = scan(images) or 0.0
            rate = 60 * len(images) / (time.perf_counter() - started - aside)
            if number:
                rates[name].append(rate)
            print(f"round {number}: {name} {rate:,.0f} images/min", file=sys.stderr)
    return rates


def median_ratio(rates: Mapping[str, list[float]], one: str, other: str) -> float:
    """Return the median ratio of two ways over pairs of neighbouring runs."""
    return round(statistics.median(a / b for a, b in zip(rates[one], rates[other], strict=True)), 3)


def rate_figures(rates: Mapping[str, list[float]]) -> dict[str, Any]:
    """Return the median of each way, and its spread: the range divided by the median."""
    medians = {name: statistics.median(measured) for name, measured in rates.items()}
    return {
        **{f"{name}_images_per_minute": round(rate) for name, rate in medians.items()},
        **{f"{name}_spread": round((max(m) - min(m)) / medians[name], 3) for name, m in rates.items()},
    }


@contextmanager
def in_process(settings: Settings, device: Device) -> Iterator[Way]:
    """Yield the same pipeline in threads of this process, without queue and database."""
    device.pin(os.environ)
    torch.set_num_threads(settings.torch_threads)
    pipeline = Pipeline(Detector.load(DEFAULT_MODEL, device.torch_name), 0, settings)
    pipeline.start()

    def scan(uris: Sequence[str]) -> None:
        assert all(verdict.outcome != "error" for verdict in scan_in_chunks(pipeline, settings, uris))

    yield scan
    pipeline.stop()


@contextmanager
def decode_only() -> Iterator[Way]:
    """Yield the upper bound: only reading and decoding with Pillow, in one process per core."""
    with ProcessPoolExecutor(count_usable_cores(), SPAWN, _prepare, (None,)) as pool:
        yield lambda uris: _exhaust(pool, _decode, uris)


@contextmanager
def process_pool(device: Device) -> Iterator[Way]:
    """Yield the usual script: a pool of processes that scan file by file with V4."""
    with ProcessPoolExecutor(count_usable_cores(), SPAWN, _prepare, (device.torch_name,)) as pool:
        yield lambda uris: _exhaust(pool, _scan, uris)


@contextmanager
def bare_loop(device: Device) -> Iterator[Way]:
    """Yield the fastest script: a pool of processes that scan batch by batch with V4, without storing anything."""
    with ProcessPoolExecutor(count_usable_cores(), SPAWN, _prepare, (device.torch_name,)) as pool:

        def scan(uris: Sequence[str]) -> None:
            for _ in pool.map(_scan_batch, [uris[start : start + GROUP] for start in range(0, len(uris), GROUP)]):
                pass

        yield scan


def _exhaust(pool: ProcessPoolExecutor, work: Callable[[str], object], uris: Sequence[str]) -> None:
    for _ in pool.map(work, uris, chunksize=GROUP):
        pass


_files: FileByFile


def _prepare(torch_name: str | None) -> None:
    global _files
    _files = FileByFile(torch_name)


def _decode(uri: str) -> None:
    _files.decode(uri)


def _scan(uri: str) -> float:
    return _files.scan(uri)


def _scan_batch(uris: Sequence[str]) -> list[float]:
    return _files.scan_batch(uris)
