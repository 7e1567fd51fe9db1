"""Metrics of a worker's GPU from NVML, if the `gpu-metrics` extra is installed and NVML works."""

import logging
import os
from collections.abc import Callable, Iterator
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from worker.devices import Device

log = logging.getLogger(__name__)


class GpuCollector(Collector):
    """Queries NVML at each scrape; leaves out the values that NVML does not have."""

    def __init__(self, library: Any, handle: object, device: Device) -> None:  # noqa: ANN401 - it has no types
        self._library = library
        self._handle = handle
        self._device = str(device)

    def describe(self) -> Iterator[Metric]:
        """Yield nothing: the available metrics depend on the GPU."""
        yield from ()

    def collect(self) -> Iterator[Metric]:
        """Yield utilisation, memory and temperature."""
        library = self._library
        questions: tuple[tuple[str, str, Callable[[], float]], ...] = (
            ("utilization_ratio", "Share of time in which the GPU was busy.", lambda: self._utilization()),
            ("memory_used_bytes", "GPU memory in use, by all processes.", lambda: self._memory().used),
            ("memory_bytes", "Total GPU memory.", lambda: self._memory().total),
            ("temperature_celsius", "Temperature of the GPU chip.", lambda: self._temperature()),
        )
        for name, explanation, ask in questions:
            family = GaugeMetricFamily(f"starlight_gpu_{name}", explanation, labels=["device"])
            try:
                family.add_metric([self._device], ask())
            except library.NVMLError as error:
                log.debug("the GPU does not report %s: %s", name, error)
                continue
            yield family

    def _utilization(self) -> float:
        return float(self._library.nvmlDeviceGetUtilizationRates(self._handle).gpu) / 100

    def _memory(self) -> Any:  # noqa: ANN401 - it has no types
        return self._library.nvmlDeviceGetMemoryInfo(self._handle)

    def _temperature(self) -> float:
        return float(self._library.nvmlDeviceGetTemperature(self._handle, self._library.NVML_TEMPERATURE_GPU))


def collect_gpu(registry: CollectorRegistry, device: Device) -> bool:
    """Register the metrics of the GPU that this process is pinned to; return whether there are any."""
    if device.kind != "gpu":
        return False
    try:
        import pynvml
    except ImportError:
        log.info("no GPU metrics: `pip install nvidia-ml-py` installs the library that reads them")
        return False
    # A number or a UUID, as set by `Device.pin`.
    pinned = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    try:
        pynvml.nvmlInit()
        if pinned.isdecimal():
            handle = pynvml.nvmlDeviceGetHandleByIndex(int(pinned))
        else:
            handle = pynvml.nvmlDeviceGetHandleByUUID(pinned.encode())
    except pynvml.NVMLError as error:
        log.warning("no GPU metrics: %s", error)
        return False
    registry.register(GpuCollector(pynvml, handle, device))
    return True
