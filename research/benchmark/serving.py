"""Compares `POST /scan/image` of the API, which stores everything, with APIs that only score."""

import asyncio
import statistics
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import redis
from sqlalchemy import text

from research.benchmark.api import serving, write_form
from research.benchmark.compared_apis import run_compared_apis
from research.benchmark.pictures import find_file
from research.benchmark.stack import MeasuredStack
from research.processes import Process, list_family, list_processes
from storage.broker import open_redis
from worker.devices import Device

# Numbers of concurrent clients; each sends its next image when it has the previous answer.
CLIENTS = (1, 16, 64)
# Names of the other APIs in ratios.
RATIOS = {"bare": "bare_api", "litserve": "litserve"}
# Transactions since the server's start; connections report theirs once a second.
COUNT_TRANSACTIONS = text("SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()")


def measure_serving(
    stack: MeasuredStack, devices: Sequence[Device], uris: Sequence[str], posts: int, rounds: int
) -> dict[str, Any]:
    """Return requests per second of all APIs with 1, 16 and 64 clients, in alternation, and ours' costs per request."""
    images = [find_file(uri).read_bytes() for uri in uris]
    measured: dict[str, list[dict[str, float]]] = {}
    with (
        serving(stack, find_file(uris[0]).parent) as (url, key),
        stack.workers(devices),
        run_compared_apis(len(devices)) as others,
    ):
        for number in range(rounds + 1):
            for clients in CLIENTS:
                count = posts if clients > 1 else posts // 4
                with watch_costs(stack, count) as costs:
                    ours = asyncio.run(post_images(url, key, images, clients, count))
                answered = {"serving": ours | costs}
                for name, other in others.items():
                    with other.in_turn() as other_url:
                        answered[name] = asyncio.run(post_images(other_url, key, images, clients, count))
                # The first round does not count.
                if number:
                    for name, figures in answered.items():
                        measured.setdefault(f"{name}_{clients}", []).append(figures)
    return summarise(measured)


def summarise(measured: Mapping[str, Sequence[Mapping[str, float]]]) -> dict[str, Any]:
    """Return the ratios of ours to each other API, of each round and their median, and the medians of all figures.

    `measured` has the figures of each round by API and number of clients, such as `bare_16`; ours are `serving_…`.
    """
    figures: dict[str, Any] = {}
    for name, other in RATIOS.items():
        for clients in CLIENTS:
            if others := measured.get(f"{name}_{clients}"):
                pairs = zip(measured[f"serving_{clients}"], others, strict=True)
                ratios = [one["per_second"] / its["per_second"] for one, its in pairs]
                figures[f"ratio_{other}_{clients}"] = round(statistics.median(ratios), 2)
                figures[f"ratios_{other}_{clients}"] = [round(ratio, 2) for ratio in ratios]
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
