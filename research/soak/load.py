"""The load: images one by one, large jobs with webhooks, and processes killed at intervals."""

import asyncio
import logging
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, wait
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import numpy as np
from sqlalchemy import Engine, text

from producer.canaries.drawing import Canary, draw_canaries
from research.production.accounts import pack_archive
from research.production.deployment import Deployment
from research.production.load import Answered, send_images
from research.soak.sampling import list_stack, name_program
from research.soak.stack import UpStack
from starlight_client import JobOptions, RefusedError, Starlight, UnreadableAnswerError

# Kinds of processes to kill, in turn.
KILLED = ("worker", "api", "dispatcher", "decoder", "exporter", "canary", "redis", "postgres")
RETRY_S = 5.0
COUNT_UNFINISHED = text("SELECT coalesce(sum(total - clean - stego - error), 0) FROM jobs")

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Progress:
    """Requests, answers and faults so far."""

    answers: list[Answered] = field(default_factory=list)
    jobs: list[str] = field(default_factory=list)
    webhooks: int = 0
    killed: Counter[str] = field(default_factory=Counter)


def keep_sending(stack: UpStack, progress: Progress, seed: int, per_minute: int, minutes: float) -> None:
    """Send images one by one at a fixed rate; failed requests are part of the result."""

    def take(answered: Answered) -> None:
        # Drop the bytes: those of hours would fill the memory.
        progress.answers.append(replace(answered, image=Canary(answered.image.name, b"")))

    deployment = Deployment(stack.api, stack.key)
    asyncio.run(send_images(deployment, seed, per_minute, round(per_minute * minutes), take))


def keep_submitting(
    stack: UpStack, progress: Progress, over: threading.Event, seed: int, rounds: int, every_s: float, hook: str
) -> None:
    """Submit jobs of drawn images, with a webhook each, until `over` is set."""
    number = 0
    with Starlight(stack.api, stack.key) as starlight:
        while not over.is_set():
            canaries = [canary for each in range(rounds) for canary in draw_canaries(seed + number * rounds + each)]
            with pack_archive(canaries) as archive:
                while not over.is_set():
                    try:
                        options = JobOptions(name=f"soak {number}", webhook=hook, idempotency_key=f"soak-{number}")
                        job = starlight.upload_archive(archive, options)
                        break
                    except (httpx.HTTPError, UnreadableAnswerError, RefusedError) as error:
                        # The API was killed: retry the job under the same idempotency key.
                        log.info("retrying job %d: %s", number, error)
                        archive.seek(0)
                        over.wait(RETRY_S)
                else:
                    return
            progress.jobs.append(str(job.id))
            number += 1
            over.wait(every_s)


def keep_killing(stack: UpStack, progress: Progress, over: threading.Event, seed: int, every_s: float) -> None:
    """Kill a process of the stack every `every_s` seconds until `over` is set."""
    rng = np.random.default_rng(seed)
    number = 0
    while not over.wait(every_s):
        kind = KILLED[number % len(KILLED)]
        number += 1
        found = [each for each in list_stack(stack.list_roots()) if name_program(each.command).startswith(kind)]
        if not found:
            log.info("no %s to kill", kind)
            continue
        with suppress(ProcessLookupError):
            os.kill(found[rng.integers(len(found))].pid, signal.SIGKILL)
            progress.killed[kind] += 1
            log.info("killed %s", kind)


def start_load(work: Callable[..., object], *arguments: object) -> "Future[None]":
    """Run `work` in a thread that does not keep the process alive; the future has the exception if it fails."""
    load: Future[None] = Future()

    def run() -> None:
        try:
            work(*arguments)
        except BaseException as error:
            load.set_exception(error)
        else:
            load.set_result(None)

    threading.Thread(target=run, daemon=True).start()
    return load


def watch_loads(loads: Sequence["Future[None]"], seconds: float) -> None:
    """Wait for `seconds`, or until all loads have ended; raises at once what one of them raises."""
    ended, _ = wait(loads, seconds, FIRST_EXCEPTION)
    for load in ended:
        load.result()


@contextmanager
def receive_webhooks(progress: Progress) -> Iterator[str]:
    """Run a server that counts webhooks; yield its URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            progress.webhooks += 1
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Log nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/hook"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def wait_for_ends(engine: Engine, patience_s: float) -> int:
    """Wait until all images have a verdict; return how many have none after `patience_s`."""
    deadline = time.monotonic() + patience_s
    while True:
        with engine.connect() as connection:
            left = int(connection.execute(COUNT_UNFINISHED).scalar_one())
        if left == 0 or time.monotonic() > deadline:
            return left
        time.sleep(1.0)
