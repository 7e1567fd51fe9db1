"""Compares `POST /scan/image` of the API, which stores everything, with a minimal API."""

import asyncio
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import redis
from sqlalchemy import text

from research.benchmark.api import serving, wait_until_answered, write_form
from research.benchmark.pictures import find_file
from research.benchmark.stack import MeasuredStack
from research.processes import Process, list_family, list_processes
from storage.broker import open_redis
from storage.embedded.ports import find_free_port
from worker.devices import Device

# Numbers of concurrent clients; each sends its next image when it has the previous answer.
CLIENTS = (1, 16, 64)
# Transactions since the server's start; connections report theirs once a second.
COUNT_TRANSACTIONS = text("SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()")


def measure_serving(
    stack: MeasuredStack, devices: Sequence[Device], uris: Sequence[str], posts: int, rounds: int
) -> dict[str, Any]:
    """Return requests per second of both with 1, 16 and 64 clients, in alternation, and the API's costs per request."""
    images = [find_file(uri).read_bytes() for uri in uris]
    measured: dict[str, list[dict[str, float]]] = {}
    with (
        serving(stack, find_file(uris[0]).parent) as (url, key),
        stack.workers(devices),
        run_bare_api(len(devices)) as bare_url,
    ):
        for number in range(rounds + 1):
            for clients in CLIENTS:
                count = posts if clients > 1 else posts // 4
                with watch_costs(stack, count) as costs:
                    ours = asyncio.run(post_images(url, key, images, clients, count))
                bare = asyncio.run(post_images(bare_url, key, images, clients, count))
                # The first round does not count.
                if number:
                    measured.setdefault(f"serving_{clients}", []).append(ours | costs)
                    measured.setdefault(f"bare_{clients}", []).append(bare)
    figures: dict[str, Any] = {}
    for clients in CLIENTS:
        pairs = zip(measured[f"serving_{clients}"], measured[f"bare_{clients}"], strict=True)
        ratios = [one["per_second"] / other["per_second"] for one, other in pairs]
        figures[f"ratio_bare_api_{clients}"] = round(statistics.median(ratios), 2)
        figures[f"ratios_bare_api_{clients}"] = [round(ratio, 2) for ratio in ratios]
    for name, rows in measured.items():
        figures |= {f"{name}_{what}": round(statistics.median(row[what] for row in rows), 2) for what in rows[0]}
    return figures


async def post_images(url: str, key: str, images: Sequence[bytes], clients: int, count: int) -> dict[str, float]:
    """Send `count` images; return requests per second and latencies (ms)."""
    parts = urlsplit(url)
    requests = [
        write_form("/scan/image", parts.netloc, f"Bearer {key}", images[number % len(images)])
        for number in range(count)
    ]
    numbers = iter(range(count))
    took = []

    async def send() -> None:
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        for number in numbers:
            started = time.perf_counter()
            writer.write(requests[number])
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            answer = await reader.readexactly(int(head.partition(b"content-length:")[2].partition(b"\r\n")[0]))
            if not head.startswith(b"http/1.1 200 "):
                sys.exit(f"bench: {url} answers {answer[:200]!r}")
            took.append(1000 * (time.perf_counter() - started))
        writer.close()

    started = time.perf_counter()
    await asyncio.gather(*(send() for _ in range(clients)))
    seconds = time.perf_counter() - started
    return {
        "per_second": count / seconds,
        **{f"p{p}_ms": float(np.percentile(took, p)) for p in (50, 99)},
    }


@contextmanager
def watch_costs(stack: MeasuredStack, count: int) -> Iterator[dict[str, float]]:
    """Yield a dictionary that has the block's costs per request after it, for `count` requests.

    Costs are processor time (ms) of all processes of the stack, PostgreSQL transactions and Redis commands.
    """
    costs: dict[str, float] = {}
    with open_redis(stack.addresses.redis_url) as broker:
        before = _take_costs(stack, broker)
        yield costs
        after = _take_costs(stack, broker)
    costs.update({name: (after[name] - before[name]) / count for name in after})


def _take_costs(stack: MeasuredStack, broker: "redis.Redis") -> dict[str, float]:
    with stack.engine.connect() as connection:
        transactions = float(connection.execute(COUNT_TRANSACTIONS).scalar_one())
    commands = float(broker.info("stats")["total_commands_processed"])
    folder = str(stack.settings.data_dir.parent)
    family = list_family(list(list_processes()), lambda each: _is_head_of(each, folder))
    taken = sum(each.processor_s for each in family)
    return {"processor_ms": 1000 * taken, "transactions": transactions, "redis_commands": commands}


def _is_head_of(process: Process, folder: str) -> bool:
    """Return whether a process is a root process of the stack; other stacks may run on the machine."""
    is_program = process.is_ours and any(word in process.command for word in ("-m worker", "-m producer"))
    return is_program or folder in process.command


@contextmanager
def run_bare_api(count: int) -> Iterator[str]:
    """Run the bare API in `count` processes during the block; yield its URL."""
    port = find_free_port()
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "research.benchmark.bare_api", str(port)]
    running = [subprocess.Popen(command, stdout=subprocess.DEVNULL) for _ in range(count)]
    try:
        for _ in running:
            wait_until_answered(f"{url}/health")
        yield url
    finally:
        for process in running:
            process.terminate()
        for process in running:
            process.wait()
