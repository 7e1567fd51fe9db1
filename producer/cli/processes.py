"""`starlight worker`, `dispatcher` and `exporter`: one process of the stack each, in the foreground."""

import os
import subprocess
import sys
from typing import Annotated

import redis
import typer

from producer.cli.session import session
from storage.settings import settings
from worker.devices import Device


def register(app: typer.Typer) -> None:
    """Add this room's commands."""
    for command in (worker, dispatcher, exporter):
        app.command()(command)


def worker(device: Annotated[str, typer.Option(help="cpu0, cpu1, gpu0, gpu1, …")] = "cpu0") -> None:
    """Run one worker on one device."""
    run_module("worker", str(Device.parse(device)))


def exporter() -> None:
    """Serve metrics for Prometheus."""
    run_module("monitoring")


def dispatcher() -> None:
    """Run one dispatcher."""
    # Here, not above: Celery takes longer to import than most other commands take to run.
    from producer.dispatcher import Dispatcher

    with session() as current:
        broker = redis.Redis.from_url(current.servers.redis_url)
        Dispatcher(current.engine, broker, current.settings).run()


def run_module(*arguments: str) -> None:
    """Run a module that this room may not import, on the same servers, and end with its exit code.

    On configured servers it takes this process's place; embedded ones must outlive it.
    """
    command = [sys.executable, "-m", *arguments]
    if settings().database_url and settings().redis_url:
        with session():
            pass
        os.execv(sys.executable, command)  # noqa: S606
    with session() as current:
        child = subprocess.Popen(command, env={**os.environ, **current.servers.environment()})
        while True:
            try:
                raise typer.Exit(child.wait())
            except KeyboardInterrupt:
                continue
