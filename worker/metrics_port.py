"""Serves a worker's metrics on the first free port of a range, since several workers may run on one host."""

import errno
import logging

from prometheus_client import CollectorRegistry
from prometheus_client.process_collector import ProcessCollector

from storage.metrics_server import serve_metrics
from storage.settings import Settings
from worker.devices import Device
from worker.gpu_metrics import collect_gpu

# How many ports are tried, from the configured one on.
PORTS = 64

log = logging.getLogger(__name__)


def serve_worker_metrics(registry: CollectorRegistry, settings: Settings, device: Device) -> int | None:
    """Serve these metrics and those of the process and the GPU; return the port, None if disabled or none is free."""
    first = settings.worker_metrics_port
    if not first:
        return None
    ProcessCollector(registry=registry)
    collect_gpu(registry, device)
    for port in range(first, min(first + PORTS, 65536)):
        try:
            serve_metrics(registry, settings, port)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                log.warning("metrics of this worker are not served: %s", error)
                return None
        else:
            log.info("metrics of this worker are served on %s, port %d", settings.exporter_host, port)
            return port
    log.warning("metrics of this worker are not served: no port from %d on is free", first)
    return None
