"""What NVIDIA's library says of a worker's GPU, where the `gpu-metrics` extra is installed and the library answers."""

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
    """Asks at each scrape; what the library does not answer is left out."""

    def __init__(self, library: Any, handle: object, device: Device) -> None:  # noqa: ANN401 - it has no types
        self._library = library
        self._handle = handle
        self._device = str(device)

    def describe(self) -> Iterator[Metric]:
        """Yield nothing: what there is depends on the GPU."""
        yield from ()

    def collect(self) -> Iterator[Metric]:
        """Yield utilisation, memory and temperature."""
        library = self._library
        questions: tuple[tuple[str, str, Callable[[], float]], ...] = (
            ("utilization_ratio", "Part of the time in which it computes.", lambda: self._utilization()),
            ("memory_used_bytes", "Memory in use, by whomever.", lambda: self._memory().used),
            ("memory_bytes", "Memory that it has.", lambda: self._memory().total),
            ("temperature_celsius", "Temperature of its chip.", lambda: self._temperature()),
        )
        for name, explanation, ask in questions:
            family = GaugeMetricFamily(f"starlight_gpu_{name}", explanation, labels=["device"])
            try:
                family.add_metric([self._device], ask())
            except library.NVMLError as error:
                log.debug("the GPU does not say %s: %s", name, error)
                continue
            yield family

    def _utilization(self) -> float:
        return float(self._library.nvmlDeviceGetUtilizationRates(self._handle).gpu) / 100

    def _memory(self) -> Any:  # noqa: ANN401 - it has no types
        return self._library.nvmlDeviceGetMemoryInfo(self._handle)

    def _temperature(self) -> float:
        return float(self._library.nvmlDeviceGetTemperature(self._handle, self._library.NVML_TEMPERATURE_GPU))


def collect_gpu(registry: CollectorRegistry, device: Device) -> bool:
    """Register the metrics of this GPU, which this process is pinned to; return whether there are any."""
    if device.kind != "gpu":
        return False
    try:
        import pynvml
    except ImportError:
        log.info("the GPU is not watched: `pip install nvidia-ml-py` brings what asks it")
        return False
    # By number, or by UUID: as `Device.pin` has left it.
    pinned = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    try:
        pynvml.nvmlInit()
        if pinned.isdecimal():
            handle = pynvml.nvmlDeviceGetHandleByIndex(int(pinned))
        else:
            handle = pynvml.nvmlDeviceGetHandleByUUID(pinned.encode())
    except pynvml.NVMLError as error:
        log.warning("the GPU is not watched: %s", error)
        return False
    registry.register(GpuCollector(pynvml, handle, device))
    return True
