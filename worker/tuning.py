"""Finds the batch size and the numbers of threads and processes that are fastest on this machine.

`python -m worker.tuning DEVICE FILE` scans generated pictures with one worker's pipeline, with each combination of
settings in turn, several rounds; it writes lines `STARLIGHT_…=…` to FILE, which `storage.settings` reads.
"""

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from starlight_vocabulary.formats import ImageFormat
from storage.data_folder import make_data_folder, write_whole
from storage.new_verdict import NewVerdict
from storage.settings import Settings, read_settings
from worker.devices import Device
from worker.scanning.pipeline import Pipeline
from worker.v4.card import DEFAULT_MODEL
from worker.v4.detector import Detector

ROUNDS = 3
PICTURES = 768
SIDE = 256
FORMATS = (ImageFormat.PNG, ImageFormat.JPEG, ImageFormat.GIF, ImageFormat.WEBP, ImageFormat.BMP)
BATCH_SIZES = (32, 64, 128, 256, 512)
# A choice replaces the current one only if it is faster by this factor: measurements vary by less.
NOTICEABLE = 1.02

Choice = dict[str, int]


def draw_pictures(folder: Path) -> list[str]:
    """Draw smooth pictures with a little noise, in several formats; return their references."""
    rng = np.random.default_rng(0)
    uris = []
    for number in range(PICTURES):
        coarse = Image.fromarray(rng.integers(0, 256, (9, 9, 3), dtype=np.uint8))
        smooth = np.asarray(coarse.resize((SIDE, SIDE), Image.Resampling.BICUBIC), np.int16)
        picture = Image.fromarray(np.clip(smooth + rng.integers(-3, 4, smooth.shape), 0, 255).astype(np.uint8))
        kind = FORMATS[number % len(FORMATS)]
        path = folder / f"{number}.{kind.lower()}"
        picture.save(path, kind)
        uris.append(path.as_uri())
    return uris


def measure_rate(detector: Detector, configured: Settings, uris: Sequence[str]) -> float:
    """Return how many images a minute one worker's pipeline scans with these settings."""
    torch.set_num_threads(configured.torch_threads)
    pipeline = Pipeline(detector, 0, configured)
    pipeline.start()
    started = time.perf_counter()
    scan_in_chunks(pipeline, configured, uris)
    seconds = time.perf_counter() - started
    pipeline.stop()
    return 60 * len(uris) / seconds


def scan_in_chunks(pipeline: Pipeline, configured: Settings, uris: Sequence[str]) -> list[NewVerdict]:
    """Scan with `chunks_in_flight` chunks at once, as a worker does, but without a queue; return the verdicts."""
    size = configured.chunk_size
    chunks = [list(enumerate(uris[start : start + size], start)) for start in range(0, len(uris), size)]
    with ThreadPoolExecutor(configured.chunks_in_flight) as pool:
        return [verdict for verdicts in pool.map(pipeline.scan, chunks) for verdict in verdicts]


def measure_rates(
    detector: Detector, configured: Settings, choices: Sequence[Choice], uris: Sequence[str]
) -> list[float]:
    """Return the median rate of each choice in images a minute, after a warm-up round."""
    rates: list[list[float]] = [[] for _ in choices]
    for number in range(ROUNDS + 1):
        for choice, into in zip(choices, rates, strict=True):
            rate = measure_rate(detector, configured.model_copy(update=choice), uris)
            if number:
                into.append(rate)
    return [statistics.median(into) for into in rates]


def find_fastest(detector: Detector, configured: Settings, choices: Sequence[Choice], uris: Sequence[str]) -> Choice:
    """Return the fastest choice, or the first, which is the current one, unless another is noticeably faster."""
    rates = measure_rates(detector, configured, choices, uris)
    for choice, rate in zip(choices, rates, strict=True):
        described = ", ".join(f"{name} {value}" for name, value in choice.items())
        print(f"{rate:>10,.0f} images/min   {described}")
    best = max(range(len(choices)), key=rates.__getitem__)
    return choices[best] if rates[best] > NOTICEABLE * rates[0] else choices[0]


def tune(device: Device, configured: Settings) -> Choice:
    """Return the fastest settings on this device; threads and processes are tuned first, then the batch size."""
    detector = Detector.load(configured.model_dir or DEFAULT_MODEL, device.torch_name)
    with tempfile.TemporaryDirectory(prefix="starlight-tuning-") as folder:
        uris = draw_pictures(Path(folder))
        cores = configured.cores
        decoding = {configured.decode_processes, max(1, cores // 2), cores, cores + 1}
        scoring = {configured.torch_threads, 1, max(1, cores // 2), cores}
        threads = [
            {"decode_processes": decode, "torch_threads": score, "chunks_in_flight": max(4, decode + 2)}
            for decode in sorted(decoding)
            for score in sorted(scoring)
        ]
        now = {name: getattr(configured, name) for name in threads[0]}
        chosen = find_fastest(detector, configured, [now, *(each for each in threads if each != now)], uris)
        sizes = [configured.batch_size, *(size for size in BATCH_SIZES if size != configured.batch_size)]
        tuned = configured.model_copy(update=chosen)
        return chosen | find_fastest(detector, tuned, [{"batch_size": size} for size in sizes], uris)


def main(device_name: str, file: str) -> None:
    """Tune, then write the file atomically."""
    device = Device.parse(device_name)
    device.pin(os.environ)
    configured = read_settings()
    if device.kind == "cpu" and sys.platform == "linux":
        # The other cores are for other workers.
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: configured.cores])
    chosen = tune(device, configured)
    lines = [f"STARLIGHT_{name.upper()}={value}\n" for name, value in chosen.items()]
    path = Path(file)
    make_data_folder(path.parent)
    found = f"# Found by `starlight worker --tune` for {device}, {configured.cores} cores.\n"
    write_whole(path, found + "".join(lines))
    print(f"written to {path}:\n{''.join(lines)}", end="")


if __name__ == "__main__":
    main(*sys.argv[1:])
