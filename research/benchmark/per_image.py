"""A simple design for comparison: one Celery task for each image, a batch of one, prefork pool."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache

import redis
from celery import Celery
from sqlalchemy import Engine, text

from research.benchmark.file_by_file import FileByFile
from research.benchmark.stack import POLL_S, WORKER_START_S, MeasuredStack
from storage.database import connect
from storage.setting_defaults import count_usable_cores
from storage.settings import read_settings
from worker.devices import Device

QUEUE = "per-image"
app = Celery("per_image", broker=read_settings().redis_url)
app.conf.update(
    task_default_queue=QUEUE, task_ignore_result=True, task_acks_late=True, broker_connection_retry_on_startup=True
)


@cache
def database() -> Engine:
    """Return this process's engine."""
    return connect(read_settings().database_url or "", pool_size=1)


@cache
def files() -> FileByFile:
    """Return this process's V4."""
    return FileByFile(Device.parse(os.environ["STARLIGHT_DEVICE"]).torch_name)


@app.task(name="per_image.scan")
def scan_image(uri: str) -> None:
    """Scan one image and store its verdict."""
    probability = files().scan(uri)
    with database().begin() as connection:
        connection.execute(
            text("INSERT INTO per_image (uri, probability) VALUES (:uri, :probability)"),
            {"uri": uri, "probability": probability},
        )


@contextmanager
def celery_per_image(stack: MeasuredStack, device: Device) -> Iterator[Callable[[Sequence[str]], None]]:
    """Run this design on the stack's servers during the block; yield a function that scans images.

    It has one process per core and stores verdicts one by one.
    """
    with stack.engine.begin() as connection:
        connection.execute(text("CREATE TABLE per_image (uri text, probability real)"))
    app.conf.update(broker_url=stack.addresses.redis_url)
    command = [sys.executable, "-m", "celery", "--app", "research.benchmark.per_image", "worker", "--pool=prefork"]
    options = [f"--concurrency={count_usable_cores()}", f"--queues={QUEUE}", "--without-gossip", "--without-mingle"]
    environment = {**os.environ, **stack.environment, "STARLIGHT_DEVICE": str(device)}
    with (stack.settings.data_dir / "logs" / "per-image.log").open("wb") as log:
        process = subprocess.Popen([*command, *options], env=environment, stdout=log, stderr=log)
    try:
        yield lambda uris: _scan(stack, uris)
    finally:
        process.terminate()
        process.wait()
        redis.Redis.from_url(stack.addresses.redis_url).delete(QUEUE)


def _scan(stack: MeasuredStack, uris: Sequence[str]) -> None:
    before = _count(stack)
    for uri in uris:
        scan_image.delay(uri)
    deadline = time.monotonic() + WORKER_START_S
    while _count(stack) < before + len(uris):
        if time.monotonic() > deadline:
            sys.exit(f"bench: one task for each image does not finish; see {stack.settings.data_dir / 'logs'}")
        time.sleep(POLL_S)


def _count(stack: MeasuredStack) -> int:
    with stack.engine.connect() as connection:
        return int(connection.execute(text("SELECT count(*) FROM per_image")).scalar_one())
