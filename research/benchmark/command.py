"""`scripts/bench.py`: measures performance and prints a table or one JSON object."""

import argparse
import json
import platform
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from research.benchmark.analysts import measure_analysts
from research.benchmark.api import measure_api
from research.benchmark.beside import list_images, measure_beside
from research.benchmark.costs import measure_costs
from research.benchmark.footprint import measure_memory, measure_starts, measure_whole_stack
from research.benchmark.pictures import draw_images, draw_large_images, repeated
from research.benchmark.plot import draw_plot
from research.benchmark.scale import measure_scale
from research.benchmark.serving import measure_serving
from research.benchmark.sources import measure_sources
from research.benchmark.stack import MeasuredStack, run_servers
from research.benchmark.throughput import measure_throughput
from research.benchmark.waiting import measure_backlog, measure_lone_images, measure_submission
from research.filling import DAYS
from storage.setting_defaults import count_usable_cores
from storage.settings import CHUNK_SIZE
from worker.devices import Device, find_devices, list_cpu_devices

REPEATS = (0, 30, 90)
# Enough verdicts to show the effect of an index; reports use ten million.
VERDICTS = 200_000
# Chunks of the backlog, for `scale`.
CHUNKS = 1_000_000
# Objects of the bucket, for `sources`.
OBJECTS = 100_000
# Requests in a round of `beside`.
POSTS = 400
# Chunks that the simulated workers finish in total.
FINISHED_CHUNKS = 320
# Aims of the project on two cores without a GPU.
AIMS = {
    "images_per_minute": ">= 30000",
    "ratio_decode_only": ">= 0.60",
    "ratio_in_process": ">= 0.90",
    "ratio_bare_loop": ">= 1.0",
    "ratio_celery_per_image": ">= 8",
    "ratio_process_pool": ">= 2",
    "submitted_references_per_second": ">= 100000",
    "ratio_waiting": ">= 0.95",
    "lone_image_idle_p50_ms": "<= 100",
    "lone_image_idle_p99_ms": "<= 300",
    "lone_image_in_bulk_p99_ms": "<= 300",
    "worker_peak_mib": "<= 1536",
    "stack_pss_mib": "<= 1536",
    "dispatcher_start_s": "<= 1.5",
    "exporter_start_s": "<= 1.5",
    "api_start_s": "<= 1.5",
    "api_posts_per_minute": ">= 6000",
    "api_post_p99_ms": "<= 250",
    "api_job_of_10000_s": "<= 1",
    "api_streams": ">= 1000",
    "ratio_bare_api_16": ">= 1.0",
    "serving_1_p50_ms": "<= 12",
    "serving_1_p99_ms": "<= 30",
    "serving_16_p50_ms": "<= 45",
    "serving_16_processor_ms": "<= 6",
    "serving_16_transactions": "<= 4",
    "serving_16_redis_commands": "<= 6",
}


@dataclass(frozen=True, slots=True)
class Amounts:
    """Sizes of the measurements."""

    images: int
    rounds: int
    references: int
    lone: int
    bulk: int
    large: int


WHOLE = Amounts(images=6000, rounds=5, references=1_000_000, lone=100, bulk=100_000, large=24)
QUICK = Amounts(images=800, rounds=2, references=200_000, lone=20, bulk=10_000, large=6)


def main() -> None:
    """Run the chosen measurement and print its figures."""
    options = read_options()
    amounts = QUICK if options.quick else WHOLE
    if options.what == "analysts":
        answers = measure_analysts(options.verdicts, options.partitions, options.days)
        print(json.dumps(answers, indent=1) if options.json else format_questions(answers))
        return
    if options.what == "scale":
        figures = measure_scale(options.chunks, FINISHED_CHUNKS, CHUNK_SIZE)
    elif options.what == "sources":
        with run_stack(0) as (running, _, _):
            figures = measure_sources(running, resolve_devices(options.device), options.objects)
    elif options.what == "beside":
        figures = measure_beside(options.revision, amounts.images, POSTS, amounts.rounds, options.images)
    elif options.what in (measured := {"api": measure_load, "serving": measure_requests}):
        figures = measured[options.what](amounts, resolve_devices(options.device))
    else:
        figures = measure(amounts, resolve_devices(options.device), options.images)
    if options.plot:
        draw_plot(figures, options.plot)
    print(json.dumps(figures) if options.json else format_table(figures))


def read_options() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "what",
        nargs="?",
        choices=["api", "serving", "analysts", "scale", "beside", "sources"],
        help="api: load test of the API; serving: POST /scan/image compared with a minimal API; analysts: queries on "
        "stored verdicts; scale: throughput of one PostgreSQL; beside: this tree compared with another revision; "
        "sources: a local bucket, listed and scanned; default: everything else",
    )
    parser.add_argument(
        "--verdicts", type=int, default=VERDICTS, help="analysts: number of made-up verdicts (default %(default)s)"
    )
    parser.add_argument(
        "--partitions", type=int, default=1, help="analysts: number of their partitions (default %(default)s)"
    )
    parser.add_argument("--days", type=float, default=DAYS, help="analysts: days that they span (default %(default)s)")
    parser.add_argument(
        "--chunks", type=int, default=CHUNKS, help="scale: waiting chunks of one image (default %(default)s)"
    )
    parser.add_argument("--objects", type=int, default=OBJECTS, help="sources: objects to scan (default %(default)s)")
    parser.add_argument("--revision", default="HEAD~1", help="beside: Git revision to compare (default %(default)s)")
    parser.add_argument("--images", type=Path, metavar="DIR", help="folder of images to scan, instead of drawn ones")
    parser.add_argument(
        "--device",
        default="cpu",
        help="cpu: one worker per core; cuda: one per GPU; or a single device: cpu0, gpu0, … (default cpu)",
    )
    parser.add_argument("--quick", action="store_true", help="smaller measurements: about a minute")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="also draw the rates to this SVG file")
    options = parser.parse_args()
    if options.what and options.plot:
        parser.error(f"--plot cannot be used with {options.what}")
    return options


def resolve_devices(name: str) -> list[Device]:
    """Return the devices of a `--device` value; raises DeviceError."""
    if name == "cpu":
        return list_cpu_devices()
    if name == "cuda":
        return [device for device in find_devices() if device.kind == "gpu"] or [Device("gpu", 0)]
    return [Device.parse(name)]


@contextmanager
def run_stack(images: int, given: Path | None = None) -> Iterator[tuple[MeasuredStack, list[str], Path]]:
    """Run servers in a temporary folder; yield the stack, references to images, and the folder.

    It draws `images` images, or uses those below the `given` folder.
    """
    with tempfile.TemporaryDirectory(prefix="starlight-bench-") as name:
        folder = Path(name)
        folder.chmod(0o711)
        uris = list_images(given) if given else draw_images(folder, images)
        with run_servers(folder) as running:
            yield running, uris, folder


def measure(amounts: Amounts, devices: Sequence[Device], given: Path | None) -> dict[str, Any]:
    """Return all figures of the default measurement, of drawn images or of those below the `given` folder."""
    few = max(1, amounts.rounds // 2)
    with run_stack(amounts.images, given) as (running, uris, folder):
        figures = measure_throughput(running, devices, uris, amounts.rounds)
        figures |= measure_submission(running, amounts.references, few)
        running.forget()
        with running.workers(devices):
            figures |= measure_costs(running, devices, uris, few)
            figures |= measure_lone_images(running, uris, amounts.lone, amounts.bulk)
            figures |= measure_backlog(running, uris, amounts.references, few)
            figures |= measure_memory(running, draw_large_images(folder, amounts.large))
        figures |= measure_repeats(running, devices, uris, amounts.rounds)
        figures |= measure_starts(running, few)
        figures |= measure_whole_stack(uris)
    return figures | {
        "images": len(uris),
        "pictures": "given" if given else "drawn",
        "rounds": amounts.rounds,
        "devices": [str(device) for device in devices],
        "hardware": torch.cuda.get_device_name() if devices[0].kind == "gpu" else platform.machine(),
        "cores": count_usable_cores(),
        "python": platform.python_version(),
        "torch": torch.__version__,
    }


def measure_load(amounts: Amounts, devices: Sequence[Device]) -> dict[str, Any]:
    """Return the figures of the API under load, with workers on these devices."""
    with run_stack(QUICK.images) as (running, uris, _):
        return measure_api(running, devices, uris, amounts.images)


def measure_requests(amounts: Amounts, devices: Sequence[Device]) -> dict[str, Any]:
    """Return the figures of `POST /scan/image` while nothing else is scanned."""
    with run_stack(QUICK.images) as (running, uris, _):
        return measure_serving(running, devices, uris, QUICK.images, amounts.rounds)


def measure_repeats(running: MeasuredStack, devices: Sequence[Device], uris: list[str], rounds: int) -> dict[str, Any]:
    """Return images per minute with reuse, for jobs in which `REPEATS` percent of the images are repetitions."""
    rates: dict[int, list[float]] = {share: [] for share in REPEATS}
    with running.workers(devices, reuse=True):
        running.finish(running.submit(uris[:100]))
        for _ in range(rounds):
            for share, measured in rates.items():
                running.forget()
                images = repeated(uris, share / 100)
                started = time.perf_counter()
                running.finish(running.submit(images))
                measured.append(60 * len(images) / (time.perf_counter() - started))
    return {f"repeats_{share}_images_per_minute": round(statistics.median(m)) for share, m in rates.items()}


def format_table(figures: dict[str, Any]) -> str:
    """Return the figures and their aims as a table."""
    lines = [f"{name:<36} {figures[name]!s:>12}   {aim}" for name, aim in AIMS.items() if name in figures]
    lines += [f"{name:<36} {value!s:>12}" for name, value in figures.items() if name not in AIMS]
    return "\n".join([f"{'what':<36} {'measured':>12}   aim", *lines])


def format_questions(figures: dict[str, Any]) -> str:
    """Return the times of queries and their aims as a table."""
    lines = [f"{'milliseconds':<40} {'p50':>9} {'p95':>9}   aim"]
    for name, each in figures["questions"].items():
        missed = " missed" if name in figures["missed"] else ""
        lines.append(f"{name:<40} {each['p50_ms']:>9} {each['p95_ms']:>9}   <= {each['aim_ms']}{missed}")
    lines += [f"{name:<40} {value!s:>9}" for name, value in figures.items() if name not in ("questions", "missed")]
    return "\n".join(lines)
