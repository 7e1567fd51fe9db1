"""Load tests of the API: single images at a constant rate, a long list of references, many open event streams."""

import asyncio
import json
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from producer.stack import Stack, make_api
from research.benchmark.pictures import find_file
from research.benchmark.stack import POLL_S, MeasuredStack
from starlight_vocabulary.words import Outcome
from storage.embedded.ports import find_free_port
from storage.figures import take_figures
from storage.jobs import cancel_job
from storage.keys import create_key
from storage.notifications import FINISHED, listen
from worker.devices import Device

# Above the aim of 6,000 a minute, so that a delay can be made up for.
POSTS_PER_SECOND = 110
SENDERS = 32
REFERENCES = 10_000
STREAMS = 1000
STREAMED_JOBS = 50
TIMEOUT_S = 60


def measure_api(stack: MeasuredStack, devices: Sequence[Device], uris: Sequence[str], posts: int) -> dict[str, Any]:
    """Return the figures of the API with workers on these devices."""
    with serving(stack, find_file(uris[0]).parent) as (url, key):

        async def measured() -> dict[str, Any]:
            async with httpx.AsyncClient(
                base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=TIMEOUT_S, limits=httpx.Limits()
            ) as client:
                figures = await _streams(client, stack, uris)
                stack.forget()
                with stack.workers(devices):
                    figures |= await _posts(client, stack, uris, posts)
                    stack.forget()
                    return figures | await _references(client, uris)

        return asyncio.run(measured())


@contextmanager
def serving(stack: MeasuredStack, root: Path) -> Iterator[tuple[str, str]]:
    """Run the API during the block; yield its URL and a key."""
    key = create_key(stack.engine, "bench", ["submit", "read"])
    port = find_free_port()
    environment = {
        **stack.environment,
        "STARLIGHT_API_PORT": str(port),
        "STARLIGHT_API_ROOTS": json.dumps([str(root)]),
        "STARLIGHT_RATE_LIMIT_PER_MINUTE": str(10**6),
    }
    url = f"http://127.0.0.1:{port}"
    with Stack([make_api()], environment, stack.settings.data_dir / "logs"):
        wait_until_answered(f"{url}/openapi.json")
        yield url, key


def wait_until_answered(url: str) -> None:
    """Wait until a URL responds; exits with an error after `TIMEOUT_S`."""
    deadline = time.monotonic() + TIMEOUT_S
    while True:
        try:
            httpx.get(url).raise_for_status()
        except httpx.TransportError:
            if time.monotonic() > deadline:
                sys.exit(f"bench: no answer from {url} within {TIMEOUT_S} s")
            time.sleep(POLL_S)
        else:
            return


async def _streams(client: httpx.AsyncClient, stack: MeasuredStack, uris: Sequence[str]) -> dict[str, Any]:
    """Return how many of the concurrent streams got events of their job's start and end."""
    jobs = [stack.submit([uris[number]]) for number in range(STREAMED_JOBS)]
    opened = asyncio.Barrier(STREAMS + 1)

    async def follow(number: int) -> bool:
        names = []
        async with client.stream("GET", f"/v1/jobs/{jobs[number % STREAMED_JOBS]}/events") as stream:
            async for line in stream.aiter_lines():
                if line.startswith("event: "):
                    names.append(line.removeprefix("event: "))
                    if len(names) == 1:
                        await opened.wait()
        return names[0] == "progress" and names[-1] == "done"

    streams = [asyncio.create_task(follow(number)) for number in range(STREAMS)]
    await asyncio.wait_for(opened.wait(), TIMEOUT_S)
    for job_id in jobs:
        cancel_job(stack.engine, job_id)
    return {"api_streams": sum(await asyncio.gather(*streams))}


async def _posts(client: httpx.AsyncClient, stack: MeasuredStack, uris: Sequence[str], count: int) -> dict[str, Any]:
    """Return images per minute and latencies (ms) of uploading each image in its own request at a constant rate."""
    images = [find_file(uri).read_bytes() for uri in uris]
    authorization = client.headers["Authorization"]
    requests = [
        write_form("/v1/jobs", client.base_url.host, authorization, images[number % len(images)])
        for number in range(count)
    ]
    took = []
    started = time.perf_counter()
    numbers = iter(range(count))

    async def send() -> None:
        # Plain sockets, since an HTTP client would need as much processor time as the API.
        reader, writer = await asyncio.open_connection(client.base_url.host, client.base_url.port)
        for number in numbers:
            # Latency counts from the due time, to include waiting for a free sender.
            due = started + number / POSTS_PER_SECOND
            await asyncio.sleep(due - time.perf_counter())
            writer.write(requests[number])
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            answer = await reader.readexactly(int(head.partition(b"content-length:")[2].partition(b"\r\n")[0]))
            assert head.startswith(b"http/1.1 202 "), answer
            took.append(1000 * (time.perf_counter() - due))
        writer.close()

    await asyncio.gather(*(send() for _ in range(SENDERS)))
    for _ in listen(stack.engine, (FINISHED,), POLL_S):
        finished = take_figures(stack.engine).outcomes
        assert not finished[Outcome.ERROR]
        if sum(finished.values()) == count:
            break
    return {
        "api_posts": count,
        "api_posts_per_minute": round(60 * count / (time.perf_counter() - started)),
        **{f"api_post_p{p}_ms": round(float(np.percentile(took, p)), 1) for p in (50, 99)},
    }


def write_form(path: str, host: str, authorization: str, image: bytes) -> bytes:
    """Return a complete HTTP request that uploads this image."""
    form = (
        b'--part\r\nContent-Disposition: form-data; name="image"; filename="one.image"\r\n\r\n%b\r\n--part--\r\n'
        % image
    )
    head = [
        f"POST {path} HTTP/1.1",
        f"Host: {host}",
        f"Authorization: {authorization}",
        "Content-Type: multipart/form-data; boundary=part",
        f"Content-Length: {len(form)}",
    ]
    return "\r\n".join([*head, "", ""]).encode() + form


async def _references(client: httpx.AsyncClient, uris: Sequence[str]) -> dict[str, Any]:
    """Return the seconds until a job of `REFERENCES` references was accepted."""
    lines = "".join(json.dumps({"uri": uris[number % len(uris)]}) + "\n" for number in range(REFERENCES))
    started = time.perf_counter()
    answer = await client.post("/v1/jobs", content=lines, headers={"Content-Type": "application/x-ndjson"})
    assert answer.status_code == 202, answer.text
    return {f"api_job_of_{REFERENCES}_s": round(time.perf_counter() - started, 3)}
