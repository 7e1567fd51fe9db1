"""Measures images a minute, end to end, beside the same pipeline in this process and beside decoding alone.

All ways scan the same drawn 256 by 256 images of mixed formats, in alternation, so that drift of the machine hits them
alike; what counts are the ratios. `scripts/bench.py --json` prints one JSON object.
"""

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from sqlalchemy import Engine

from producer.following import Follower
from producer.stack import Stack, dispatcher, worker
from research.stego.drawn import draw_picture
from storage.blobs import Blobs
from storage.database import connect, upgrade
from storage.embedded.servers import servers
from storage.jobs import get_job, submit_job
from storage.settings import Settings, usable_cores
from storage.workers import live_workers
from worker.budget import Budget
from worker.decoding import Decoder
from worker.devices import Device
from worker.loading import Loader
from worker.scanner import Scanner
from worker.v4.card import DEFAULT_MODEL
from worker.v4.detector import Detector

SIDE = 256
FORMATS = ("PNG", "JPEG", "GIF", "WEBP", "BMP")
POLL_S = 0.05
WORKER_START_S = 120


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=3000, help="distinct images in each round (default 3000)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of each way (default 5)")
    parser.add_argument("--device", default="cpu0", help="cpu0, gpu0, … (default cpu0)")
    parser.add_argument("--quick", action="store_true", help="1000 images in 3 rounds")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    options = parser.parse_args()
    images, rounds = (1000, 3) if options.quick else (options.images, options.rounds)
    figures = measure(images, rounds, Device.parse(options.device))
    if options.json:
        print(json.dumps(figures))
        return
    for name, value in figures.items():
        print(f"{name:<40} {value}")


def measure(images: int, rounds: int, device: Device) -> dict[str, Any]:
    """Return the figures of all ways."""
    with tempfile.TemporaryDirectory(prefix="starlight-bench-") as folder:
        Path(folder).chmod(0o711)
        settings = Settings(data_dir=Path(folder) / "data", database_url=None, redis_url=None)
        uris = draw_images(Path(folder), images)
        with end_to_end(settings, device) as scan_end_to_end, in_process(settings, device) as scan_in_process:
            ways = {
                "end_to_end": scan_end_to_end,
                "in_process": scan_in_process,
                "decode_only": decode_only(settings),
            }
            rates = alternate(ways, uris, rounds)
    medians = {name: statistics.median(measured) for name, measured in rates.items()}
    return {
        "images_per_minute": round(medians["end_to_end"]),
        "ratio_in_process": median_ratio(rates, "in_process"),
        "ratio_decode_only": median_ratio(rates, "decode_only"),
        **{f"{name}_images_per_minute": round(rate) for name, rate in medians.items()},
        **{f"{name}_spread": round((max(m) - min(m)) / medians[name], 3) for name, m in rates.items()},
        "images": images,
        "rounds": rounds,
        "device": str(device),
        "cores": usable_cores(),
        "machine": platform.machine(),
        "python": platform.python_version(),
        "torch": torch.__version__,
    }


def median_ratio(rates: dict[str, list[float]], other: str) -> float:
    """Return how fast the end-to-end way was beside another, pair by pair of neighbouring runs."""
    return round(statistics.median(a / b for a, b in zip(rates["end_to_end"], rates[other], strict=True)), 3)


def alternate(
    ways: dict[str, Callable[[Sequence[str]], None]], uris: Sequence[str], rounds: int
) -> dict[str, list[float]]:
    """Return images a minute of each way in each round, after one round that does not count."""
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds + 1):
        for name, scan in ways.items():
            started = time.perf_counter()
            scan(uris)
            rate = 60 * len(uris) / (time.perf_counter() - started)
            if number:
                rates[name].append(rate)
            print(f"round {number}: {name} {rate:,.0f} images/min", file=sys.stderr)
    return rates


def draw_images(folder: Path, count: int) -> list[str]:
    """Draw distinct images and return their references."""
    rng = np.random.default_rng(1)
    uris = []
    for number in range(count):
        kind = FORMATS[number % len(FORMATS)]
        image = draw_picture(rng, size=(SIDE, SIDE))
        path = folder / f"{number}.{kind.lower()}"
        (image.quantize(64) if kind == "GIF" else image.convert("RGB")).save(path, kind)
        uris.append(path.as_uri())
    return uris


@contextmanager
def end_to_end(settings: Settings, device: Device) -> Iterator[Callable[[Sequence[str]], None]]:
    """Yield the whole way: a job through PostgreSQL, Redis and a worker process, until its last verdict is read."""
    with servers(settings) as addresses:
        engine = connect(addresses.database_url)
        upgrade(engine)
        programs = [dispatcher(), worker(device)]
        environment = {**addresses.environment(), "STARLIGHT_DATA_DIR": str(settings.data_dir)}
        with Stack(programs, environment, settings.data_dir / "logs"):
            wait_for_worker(engine, settings)

            def scan(uris: Sequence[str]) -> None:
                submission = submit_job(engine, uris, submitter="bench", chunk_size=settings.chunk_size)
                read = sum(
                    len(update.verdicts) for update in Follower(engine, submission.job_id, submission.total).updates()
                )
                job = get_job(engine, submission.job_id)
                assert job is not None
                assert read == len(uris)
                assert job.error == 0, "the bench's own images must be scanned"

            yield scan
        engine.dispose()


def wait_for_worker(engine: Engine, settings: Settings) -> None:
    """Return when a worker is ready."""
    deadline = time.monotonic() + WORKER_START_S
    while not live_workers(engine, settings.lease_s):
        if time.monotonic() > deadline:
            sys.exit(f"bench: no worker within {WORKER_START_S} s; see {settings.data_dir / 'logs'}")
        time.sleep(POLL_S)


@contextmanager
def in_process(settings: Settings, device: Device) -> Iterator[Callable[[Sequence[str]], None]]:
    """Yield the same pipeline, called directly: as many chunks at once, no queue, no database."""
    device.pin(os.environ)
    torch.set_num_threads(settings.torch_threads)
    scanner = Scanner(Detector.load(DEFAULT_MODEL, device.torch_name), 0, settings)
    with ThreadPoolExecutor(settings.chunks_in_flight) as pool:

        def scan(uris: Sequence[str]) -> None:
            chunks = [uris[first : first + settings.chunk_size] for first in range(0, len(uris), settings.chunk_size)]
            for verdicts in pool.map(lambda chunk: scanner.scan(enumerate(chunk)), chunks):
                assert all(verdict.outcome != "error" for verdict in verdicts)

        yield scan
    scanner.close()


def decode_only(settings: Settings) -> Callable[[Sequence[str]], None]:
    """Return the ceiling: reading and decoding, in as many threads as there are cores, and nothing else."""
    loader = Loader(Blobs(settings.blobs()), settings.max_image_bytes)
    decoder = Decoder(settings.max_image_pixels, Budget(settings.decode_budget_bytes))

    def decode(uri: str) -> Image.Image:
        with decoder.decoded(loader.load(uri)) as image:
            return image

    def scan(uris: Sequence[str]) -> None:
        with ThreadPoolExecutor(settings.decode_threads) as pool:
            for _ in pool.map(decode, uris):
                pass

    return scan
