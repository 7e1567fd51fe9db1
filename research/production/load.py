"""Sends requests at a fixed rate without waiting for answers; measures each from the time when it was due."""

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import httpx
import numpy as np

from producer.canaries.drawing import Canary, draw_canaries
from research.production.checklist import Check
from research.production.deployment import TIMEOUT_S, Deployment
from research.production.detection import find_wrong

# The objectives of docs/slo.md.
SLOWEST_S = 2.0
IN_TIME = 0.99
ANSWERED = 0.999
# High, since drawn images are easy.
RIGHT = 0.999
# Minimum share of the requested rate that must be reached.
OFFERED = 0.98
CONNECTIONS = 256
AHEAD = 64


@dataclass(frozen=True, slots=True)
class Answered:
    """One request: the image, the time when it was sent, seconds from its due time to its answer, and the error."""

    image: Canary
    sent_at: float
    seconds: float
    status: int
    wrong: str | None


def check_load(check: Check, deployment: Deployment, seed: int, per_minute: int, minutes: float) -> list[Canary]:
    """Send images at a fixed rate and compare the results with the objectives; return the answered images."""
    answers: list[Answered] = []
    asyncio.run(send_images(deployment, seed, per_minute, max(2, round(per_minute * minutes)), answers.append))
    answers.sort(key=lambda each: each.sent_at)
    took = answers[-1].sent_at - answers[0].sent_at
    sent_per_minute = 60 * (len(answers) - 1) / took
    found = summarise(answers)
    check.figures = {"requests": len(answers), "per_minute": round(sent_per_minute, 1), **found.to_json()}
    good = [each for each in answers if each.status == 200]
    check.expect(
        len(good) >= ANSWERED * len(answers), f"{len(answers) - len(good)} requests were not answered with 200"
    )
    check.expect(found.in_time >= IN_TIME, f"only {found.in_time:.2%} were answered within {SLOWEST_S:g} s")
    check.expect(found.right >= RIGHT, f"only {found.right:.2%} of the answers were correct")
    check.expect(sent_per_minute >= OFFERED * per_minute, f"only {sent_per_minute:.0f} a minute could be sent")
    return [each.image for each in good]


@dataclass(frozen=True, slots=True)
class Summary:
    """Shares of requests that were answered and in time, share of answers that were correct, and their latencies."""

    answered: float
    in_time: float
    right: float
    seconds: Sequence[float]

    def to_json(self) -> dict[str, Any]:
        """Return the shares, and percentiles of the latencies."""
        return {
            "answered": round(self.answered, 5),
            f"within_{SLOWEST_S:g}_s": round(self.in_time, 5),
            "right": round(self.right, 5),
            "seconds": {
                f"p{share:g}": round(float(np.percentile(self.seconds, share)), 4) for share in (50, 95, 99, 100)
            },
        }


def summarise(answers: Sequence[Answered]) -> Summary:
    """Return the summary of the answers."""
    good = [each for each in answers if each.status == 200]
    seconds = [each.seconds for each in good] or [0.0]
    of = max(1, len(answers))
    in_time = sum(each.seconds <= SLOWEST_S for each in good) / of
    return Summary(len(good) / of, in_time, sum(each.wrong is None for each in good) / max(1, len(good)), seconds)


async def send_images(
    deployment: Deployment, seed: int, per_minute: int, count: int, take: Callable[[Answered], None]
) -> None:
    """Send `count` drawn images, each when it is due, and pass each result to `take`."""
    limits = httpx.Limits(max_connections=CONNECTIONS, max_keepalive_connections=CONNECTIONS)
    client = httpx.AsyncClient(base_url=deployment.url, headers=deployment.headers, timeout=TIMEOUT_S, limits=limits)
    async with client, asyncio.TaskGroup() as group:
        started = time.monotonic()
        async for number, canary in _draw(seed, count):
            due = started + 60.0 * number / per_minute
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            group.create_task(_send(client, canary, due, take))


async def _send(client: httpx.AsyncClient, canary: Canary, due: float, take: Callable[[Answered], None]) -> None:
    sent_at = time.monotonic()
    try:
        answer = await client.post("/scan/image", files={"image": (canary.name, canary.data)})
        status, body = answer.status_code, answer.json() if answer.status_code == 200 else {}
    except httpx.HTTPError:
        status, body = 0, {}
    take(Answered(canary, sent_at, time.monotonic() - due, status, find_wrong(canary, status, body)))


async def _draw(seed: int, count: int) -> AsyncIterator[tuple[int, Canary]]:
    """Yield new images, drawn in advance by another thread."""
    queue: asyncio.Queue[Canary] = asyncio.Queue(AHEAD)

    async def fill() -> None:
        for number in itertools.count():
            for canary in await asyncio.to_thread(draw_canaries, seed + number):
                await queue.put(canary)

    filling = asyncio.create_task(fill())
    try:
        for number in range(count):
            yield number, await queue.get()
    finally:
        filling.cancel()
