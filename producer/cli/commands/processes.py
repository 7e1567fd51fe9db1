"""`starlight worker`, `dispatcher`, `api` and `exporter`: each runs one process of the stack in the foreground."""

import os
import subprocess
import sys
from typing import Annotated

import typer

from producer import stack
from producer.cli.installation import open_installation
from storage.blobs import Blobs
from storage.broker import open_redis
from storage.message_counts import open_counter
from storage.settings import find_settings_file, read_settings
from storage.traces import set_up_traces
from worker.devices import Device, find_devices


def register(app: typer.Typer) -> None:
    """Add these commands."""
    for command in (worker, dispatcher, api, exporter):
        app.command()(command)


def worker(
    device: Annotated[str, typer.Option(help="cpu0, cpu1, gpu0, gpu1, …")] = "cpu0",
    tune: Annotated[
        bool, typer.Option("--tune", help="Find the fastest batch size and number of threads, and store them.")
    ] = False,
) -> None:
    """Run one worker on one device.

    With --tune, no worker runs: settings are measured on generated pictures, for a worker as `starlight up` runs it,
    and the fastest are written to settings.env in the data folder, which every command reads.
    """
    wanted = Device.parse(device)
    if not tune:
        run(stack.make_worker(wanted))
        return
    share = stack.share_cores(wanted, find_devices())
    command = [sys.executable, "-m", "worker.tuning", str(wanted), str(find_settings_file())]
    raise typer.Exit(subprocess.run(command, env={**share, **os.environ}, check=False).returncode)


def api() -> None:
    """Serve the HTTP API."""
    run(stack.make_api())


def exporter() -> None:
    """Serve metrics for Prometheus."""
    run(stack.make_exporter())


def dispatcher() -> None:
    """Run one dispatcher."""
    # Imported here: importing Celery takes longer than most commands run.
    from producer.dispatching.deliverer import Deliverer
    from producer.dispatching.dispatcher import Dispatcher
    from producer.dispatching.exports import Exporting
    from producer.dispatching.listing_runner import ListingRunner
    from producer.dispatching.partition_keeper import PartitionKeeper
    from producer.dispatching.sealer import Sealer
    from producer.dispatching.sweeper import Sweeper
    from worker.app import use_broker

    set_up_traces("dispatcher")
    with open_installation(program="dispatcher") as current:
        broker_url = current.settings.broker_url
        use_broker(broker_url or current.servers.redis_url, only_sends=True)
        counter = open_counter(broker_url, open_redis(current.servers.redis_url))
        Deliverer(current.engine, current.settings).start()
        Sweeper(current.engine, Blobs(current.settings.blobs()), current.settings).start()
        Sealer(current.engine).start()
        PartitionKeeper(current.engine, current.settings.verdict_retention).start()
        environment = current.servers.environment()
        with Exporting(current.engine, current.settings, environment), ListingRunner(current.engine, environment):
            Dispatcher(current.engine, counter, current.settings).run()


def run(program: stack.Program) -> None:
    """Run a program on the same servers, without importing it.

    On configured servers it replaces this process. Embedded servers need this process, so there it is a child.
    """
    if read_settings().database_url and read_settings().redis_url:
        with open_installation():
            pass
        os.execv(sys.executable, [sys.executable, *program.arguments])  # noqa: S606 - no shell is needed
    with open_installation() as current, stack.Stack([program], current.servers.environment()) as running:
        running.watch_until_interrupted()
