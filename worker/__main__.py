"""`python -m worker DEVICE`: one worker process, pinned to its device before torch is imported."""

import os
import socket
import sys

import celery.apps.worker
from celery.signals import setup_logging

from storage.broker import QUEUES
from storage.descriptors import raise_descriptor_limit
from storage.logs import set_up_logging
from storage.settings import read_settings
from storage.traces import set_up_traces
from worker import event_buffer
from worker.app import app, name_transport
from worker.devices import Device
from worker.slots import SPARE_THREADS


@setup_logging.connect
def keep_handlers_out(**_: object) -> None:
    """Prevent Celery from installing its own log handlers: it installs none if this signal has a receiver."""


# A thread that scans a bulk chunk gives up the interpreter's lock after this time: an interactive chunk needs the lock
# some fifty times, and CPython's usual 5 ms would add up.
SWITCH_INTERVAL_S = 0.001


def discard_message(_message: str, _stream: object = None) -> None:
    """Discard what Celery prints directly to stderr at shutdown; `worker.tasks` logs it in more detail."""


def main(device_name: str) -> None:
    """Run a Celery worker in this process until it is told to stop."""
    device = Device.parse(device_name)
    set_up_logging("worker", device=str(device))
    set_up_traces("worker")
    celery.apps.worker.safe_say = discard_message  # type: ignore[attr-defined]
    device.pin(os.environ)
    raise_descriptor_limit()
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    os.environ["STARLIGHT_DEVICE"] = str(device)
    # Set here, not in `worker.app`: the dispatcher and Flower use that too, and must not import torch.
    app.conf.imports = ("worker.tasks",)
    app.conf.broker_transport = name_transport(read_settings().broker_url or read_settings().redis_url)
    app.conf.worker_consumer = event_buffer.NAME
    # Threads, not prefork: one process owns the device, and all its chunks share one batcher.
    app.worker_main(
        [
            "--quiet",
            "worker",
            "--pool=threads",
            f"--concurrency={read_settings().chunks_in_flight + SPARE_THREADS}",
            f"--hostname={device}@{socket.gethostname()}",
            f"--queues={','.join(QUEUES)}",
            "--task-events",
            "--without-gossip",
            "--without-mingle",
            "--loglevel=info",
        ]
    )


if __name__ == "__main__":
    main(sys.argv[1])
