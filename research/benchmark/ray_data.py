"""Ray Data for comparison: actors with V4, one for each core, map batches of references; nothing is stored.

It needs `ray[data]`, which this project does not depend on.
"""

import logging
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from research.benchmark.file_by_file import FileByFile
from research.benchmark.optional import is_installed
from storage.setting_defaults import count_usable_cores
from worker.devices import Device

BATCH = 64
# References and probabilities are small; Ray takes a third of the machine's memory otherwise.
OBJECT_STORE_BYTES = 128 * 2**20
START_S = 300


def find_ray_data(device: Device) -> "RayData | None":
    """Return this way, or None with a printed line if Ray Data is not installed."""
    return RayData(device) if is_installed("ray", "Ray Data", "ray[data]") else None


class RayData:
    """Scans images with Ray Data, in a Ray cluster of its own for each call."""

    def __init__(self, device: Device) -> None:
        self._device = device
        self.starts_s: list[float] = []
        """Seconds of each call until all actors had loaded V4."""

    def __call__(self, uris: Sequence[str]) -> float:
        """Scan images; return the seconds of the call that are not scanning: the start and the end of the cluster.

        Ray runs only during the call, because its idle processes would slow other ways. Ray Data starts new actors for
        each dataset, so a long job spends this time once. Images are scanned once all actors have loaded V4.
        """
        began = time.monotonic()
        with run_ray() as data:
            cores = count_usable_cores()
            scanned = data.from_items(list(uris)).map_batches(
                Scanner,
                fn_constructor_args=(self._device.torch_name,),
                batch_size=BATCH,
                compute=data.ActorPoolStrategy(size=cores),
                num_cpus=1,
                num_gpus=1 / cores if self._device.kind == "gpu" else None,
            )
            loaded, count = began, 0
            for batch in scanned.iter_batches(batch_size=None):
                loaded = max(loaded, float(batch["loaded"].max()))
                count += len(batch["probability"])
            ended = time.monotonic()
        assert count == len(uris), f"Ray Data returned {count} results for {len(uris)} images"
        self.starts_s.append(loaded - began)
        return time.monotonic() - began - (ended - loaded)


class Scanner:
    """An actor: loads V4 once, and scores one batch after another."""

    def __init__(self, torch_name: str) -> None:
        self._files = FileByFile(torch_name)
        # The same clock in all processes of the machine.
        self._loaded = time.monotonic()

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Return the stego probabilities of a batch of references, and the time at which this actor was ready."""
        probabilities = self._files.scan_batch(batch["item"].tolist())
        return {"probability": np.array(probabilities), "loaded": np.full(len(probabilities), self._loaded)}


@contextmanager
def run_ray() -> Iterator[Any]:
    """Run Ray on this machine during the block, in a temporary folder; yield `ray.data`.

    There is no dashboard, nothing is reported to Ray's makers, and Ray prints only errors.
    """
    os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_BACKEND_LOG_LEVEL": "fatal"}
    # Here: it is optional, and takes longer to load than all else that this is imported with.
    import ray
    import ray.data

    logging.getLogger("ray.data").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory(prefix="starlight-ray-", ignore_cleanup_errors=True) as folder:
        ray.init(
            num_cpus=count_usable_cores(),
            object_store_memory=OBJECT_STORE_BYTES,
            include_dashboard=False,
            log_to_driver=False,
            logging_level="error",
            _temp_dir=folder,
        )
        try:
            context = ray.data.DataContext.get_current()
            context.enable_progress_bars = False
            context.print_on_execution_start = False
            context.wait_for_min_actors_s = START_S
            yield ray.data
        finally:
            ray.shutdown()
