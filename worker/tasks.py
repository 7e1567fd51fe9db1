"""The Celery tasks, and the worker process behind them, which is built at startup and closed at shutdown."""

import logging
import os
import signal
import threading
import uuid
from typing import Protocol

import torch
from celery.signals import worker_init, worker_ready, worker_shutdown, worker_shutting_down

from storage.database import connect, wait_out_outages
from storage.schema_version import SchemaError, check_schema
from storage.settings import read_settings
from worker.app import app
from worker.consumption import Consumption
from worker.device_lease import DeviceLease, DeviceTakenError
from worker.devices import Device
from worker.metrics_port import serve_worker_metrics
from worker.model_watch import ModelLoader, ModelWatch
from worker.process import WorkerProcess, end_now
from worker.scanning.metrics import WorkerMetrics
from worker.slots import SPARE_THREADS
from worker.task_shape import SCAN_CHUNK, SCAN_LONE_CHUNKS

log = logging.getLogger(__name__)

DEVICE_VARIABLE = "STARLIGHT_DEVICE"
# Connections for the threads of leases, model watch and interactive chunks, beyond those of the task threads.
SPARE_CONNECTIONS = 3


class SignalSender(Protocol):
    """The sender of Celery's worker signals."""

    hostname: str


_process: WorkerProcess | None = None
_watch: ModelWatch | None = None
_lease: DeviceLease | None = None
_consumption = Consumption()


@worker_init.connect
def start_process(sender: SignalSender, **_: object) -> None:
    """Load the model onto this process's device, before any task can arrive."""
    global _process, _watch, _lease
    try:
        _process, _watch, _lease = build_process(sender.hostname)
        _lease.start()
        _process.start()
        _watch.start()
    except (SchemaError, DeviceTakenError) as error:
        log.critical("the worker cannot start: %s", error)
        end_now()
    except Exception:
        # Celery would continue without the process, and acknowledge every chunk that it cannot scan.
        log.exception("the worker cannot start")
        end_now()


def build_process(name: str) -> tuple[WorkerProcess, ModelWatch, DeviceLease]:
    """Return the process, model watch and device lease for the device that the environment names.

    Raises DeviceTakenError, before anything is loaded onto the device, if another process holds it.
    """
    configured = read_settings()
    if configured.database_url is None:
        raise RuntimeError("STARLIGHT_DATABASE_URL is not set: use `starlight worker`")
    device = Device.parse(os.environ[DEVICE_VARIABLE])
    torch.set_num_threads(configured.torch_threads)
    engine = connect(
        configured.database_url,
        direct_url=configured.database_direct_url,
        pool_size=configured.chunks_in_flight + SPARE_THREADS + SPARE_CONNECTIONS,
        application=f"starlight {name}",
    )
    wait_out_outages(lambda: check_schema(engine))
    lease = DeviceLease(engine, name)
    lease.take()
    loader = ModelLoader(engine, configured, device.torch_name)
    use = wait_out_outages(loader.find_newest_use)
    metrics = WorkerMetrics(str(device))
    process = WorkerProcess(
        engine,
        configured,
        name=name,
        device=str(device),
        detector=loader.load(use),
        metrics=metrics,
        consume=_consumption.set,
    )
    serve_worker_metrics(metrics.registry, configured, device)
    return process, ModelWatch(loader, use, process.replace_model), lease


@worker_ready.connect
def take_consumer(sender: object, **_: object) -> None:
    """Control the consumer, each time that it starts to consume."""
    _consumption.attach(sender)


@worker_shutting_down.connect
def limit_shutdown(**_: object) -> None:
    """Let running chunks finish within the grace period, or until the next Ctrl-C."""
    insisted = threading.Event()

    def insist(*_: object) -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        insisted.set()

    # Replaces Celery's handler, which cannot end threads and would wait for them.
    signal.signal(signal.SIGINT, insist)
    threading.Thread(target=end_in_time, args=(insisted,), daemon=True).start()


def end_in_time(insisted: threading.Event) -> None:
    """End the process after the grace period, or as soon as `insisted` is set."""
    grace_s = read_settings().shutdown_grace_s
    log.warning("running chunks may finish within %.0f s; Ctrl-C gives them back now", grace_s)
    insisted.wait(grace_s)
    give_back_and_end()


def give_back_and_end() -> None:
    """End the process now. Chunks that cannot be given back return when their leases run out."""
    log.warning("running chunks are given back")
    try:
        if _process is not None:
            _process.give_back()
    finally:
        os._exit(os.EX_OK)


@worker_shutdown.connect
def end_process(**_: object) -> None:
    """Close the process once its last task has ended."""
    if _watch is not None:
        _watch.stop()
    if _process is not None:
        _process.stop()
    if _lease is not None:
        _lease.stop()


@app.task(name=SCAN_CHUNK)
def scan_chunk(chunk_id: str) -> str:
    """Scan one chunk; return a summary, which Flower shows."""
    assert _process is not None, "the worker was not started by `starlight worker`"
    return _process.scan_chunk(uuid.UUID(chunk_id))


@app.task(name=SCAN_LONE_CHUNKS)
def scan_lone_chunks(*chunk_ids: str) -> str:
    """Scan lone chunks together; return a summary, which Flower shows."""
    assert _process is not None, "the worker was not started by `starlight worker`"
    return _process.scan_lone_chunks([uuid.UUID(chunk_id) for chunk_id in chunk_ids])
