"""`python tree.py IMAGES`: runs the stack of a tree of this repository and measures it on request.

IMAGES is a file with a JSON list of references. Each line `bulk N`, `posts N`, `lone N` or `in_bulk N` on standard
input is answered by one line of JSON. Imports come from the tree in PYTHONPATH, which may be older than this file.
"""

import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import httpx

from research.benchmark.api import serving
from worker.devices import list_cpu_devices

# Numbers of concurrent clients; each sends its next image when it has the previous answer.
CLIENTS = {"posts": 16, "lone": 1, "in_bulk": 1}
# Images of the bulk job that runs during `in_bulk`.
BULK = 100_000
POSTED = 400
TIMEOUT_S = 60.0


async def post_images(url: str, key: str, images: Sequence[bytes], count: int, clients: int) -> dict[str, float]:
    """Send `count` images by `clients` clients; return requests per second, and p50 and p99 in ms."""
    took = []
    numbers = iter(range(count))
    async with httpx.AsyncClient(base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=TIMEOUT_S) as client:

        async def send() -> None:
            for number in numbers:
                begun = time.perf_counter()
                answer = await client.post("/scan/image", files={"image": ("a.png", images[number % len(images)])})
                answer.raise_for_status()
                took.append(1000 * (time.perf_counter() - begun))

        started = time.perf_counter()
        await asyncio.gather(*(send() for _ in range(clients)))
        wall = time.perf_counter() - started
    took.sort()
    return {"per_second": count / wall, "p50_ms": took[count // 2], "p99_ms": took[int(count * 0.99)]}


def find_servers() -> Callable[[Path], AbstractContextManager[Any]]:
    """Return the function of the tree that runs the servers of a stack in a folder."""
    try:
        found: Callable[[Path], AbstractContextManager[Any]] = import_module("research.benchmark.stack").run_servers
    except ModuleNotFoundError:
        # Its name in older trees.
        found = import_module("research.benchmark.stage").stage
    return found


def main() -> None:
    """Answer requests for measurements until standard input ends."""
    uris: list[str] = json.loads(Path(sys.argv[1]).read_text())
    paths = [Path(unquote(urlsplit(uri).path)) for uri in uris[:POSTED]]
    images = [path.read_bytes() for path in paths]
    with tempfile.TemporaryDirectory(prefix="starlight-bench-") as name:
        folder = Path(name)
        folder.chmod(0o711)
        with (
            find_servers()(folder) as running,
            running.workers(list_cpu_devices()),
            serving(running, paths[0].parent) as (url, key),
        ):
            print("ready", flush=True)
            for line in sys.stdin:
                what, count = line.split()
                if what == "in_bulk":
                    running.finish(running.submit([uris[number % len(uris)] for number in range(BULK)]), BULK // 20)
                if what in CLIENTS:
                    figures = asyncio.run(post_images(url, key, images, int(count), CLIENTS[what]))
                else:
                    started = time.perf_counter()
                    running.finish(running.submit(uris[: int(count)]))
                    figures = {"per_minute": 60 * min(int(count), len(uris)) / (time.perf_counter() - started)}
                running.forget()
                print(json.dumps(figures), flush=True)


if __name__ == "__main__":
    main()
