"""The Celery task, and the process behind it, built when the worker starts and closed when it ends."""

import os
import uuid
from typing import Protocol

import torch
from celery.signals import worker_init, worker_shutdown

from storage.database import connect
from storage.settings import settings
from worker.app import SCAN_CHUNK, app
from worker.devices import Device
from worker.process import WorkerProcess
from worker.v4.card import DEFAULT_MODEL
from worker.v4.detector import Detector

DEVICE_VARIABLE = "STARLIGHT_DEVICE"
# The lease thread and the startup need connections beside those of the task threads.
SPARE_CONNECTIONS = 2


class Node(Protocol):
    """What Celery sends with its worker signals."""

    hostname: str


_process: WorkerProcess | None = None


@worker_init.connect
def start_process(sender: Node, **_: object) -> None:
    """Load the model onto this process's device, before any task can arrive."""
    global _process
    configured = settings()
    assert configured.database_url is not None, "STARLIGHT_DATABASE_URL is not set"
    device = Device.parse(os.environ[DEVICE_VARIABLE])
    torch.set_num_threads(configured.torch_threads)
    engine = connect(
        configured.database_url,
        pool_size=configured.chunks_in_flight + SPARE_CONNECTIONS,
        application=f"starlight {sender.hostname}",
    )
    detector = Detector.load(configured.model_dir or DEFAULT_MODEL, device.torch_name)
    _process = WorkerProcess(engine, configured, name=sender.hostname, device=str(device), detector=detector)


@worker_shutdown.connect
def end_process(**_: object) -> None:
    """Close the process once its last task has ended."""
    if _process is not None:
        _process.close()


@app.task(name=SCAN_CHUNK)
def scan_chunk(chunk_id: str) -> str:
    """Scan one chunk; the answer is for Flower's readers."""
    assert _process is not None, "the worker was not started by `starlight worker`"
    return _process.scan_chunk(uuid.UUID(chunk_id))
