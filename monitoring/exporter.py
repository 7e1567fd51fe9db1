"""Metrics for Prometheus, read from the servers at each scrape, never from events, which can be lost."""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from concurrent.futures import TimeoutError as LateError
from shutil import disk_usage

import redis
from prometheus_client.core import Metric
from prometheus_client.registry import Collector
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from monitoring.families import describe_everything, gauge, gauges
from storage.blobs import find_folder
from storage.canaries import read_canaries
from storage.figures import take_figures
from storage.message_counts import MessageCounter
from storage.partitions import read_partition_figures
from storage.settings import Settings
from storage.workers import list_live_workers

# Less than Prometheus' default timeout of 10 s, so that a server that is down does not hide the metrics of the others.
PATIENCE_S = 5.0

log = logging.getLogger(__name__)


class ScrapedServer:
    """A server that metrics are read from, with one query at a time; concurrent scrapes share its result.

    A server that does not answer in time counts as down. While a query hangs, no other is started.
    """

    def __init__(self, server: str, collect: Callable[[], list[Metric]], patience_s: float = PATIENCE_S) -> None:
        self._server = server
        self._collect = collect
        self._patience_s = patience_s
        self._lock = threading.Lock()
        self._answer: Future[list[Metric]] | None = None

    def ask(self) -> Iterator[Metric]:
        """Yield the metrics of the server, whether it answered, and how long that took."""
        started = time.monotonic()
        try:
            metrics, up = self._begin().result(self._patience_s), 1
        except LateError:
            log.warning("%s did not answer within %.0f s", self._server, self._patience_s)
            metrics, up = [], 0
        except (SQLAlchemyError, redis.RedisError, OSError) as error:
            log.warning("%s does not answer: %s", self._server, str(error).strip().partition("\n")[0])
            metrics, up = [], 0
        yield from metrics
        yield gauge(f"{self._server}_up", f"Whether {self._server} answered this scrape.", up)
        yield gauge(f"{self._server}_scrape_seconds", f"How long {self._server} took.", time.monotonic() - started)

    def _begin(self) -> "Future[list[Metric]]":
        with self._lock:
            if self._answer is None or self._answer.done():
                self._answer = Future()
                # A daemon thread, not a pool: the process would wait for the threads of a pool at exit.
                threading.Thread(target=self._run, args=(self._answer,), daemon=True).start()
            return self._answer

    def _run(self, answer: "Future[list[Metric]]") -> None:
        try:
            answer.set_result(self._collect())
        except Exception as error:
            answer.set_exception(error)


class StarlightCollector(Collector):
    """Reads the metrics from the servers at each scrape; a server that is down shows as `…_up 0`."""

    def __init__(self, engine: Engine, client: "redis.Redis", counter: MessageCounter, settings: Settings) -> None:
        self._engine = engine
        self._redis = client
        self._counter = counter
        self._settings = settings
        self._servers = [ScrapedServer("postgres", self._from_postgres), ScrapedServer("redis", self._from_redis)]
        self._broker = counter.name.lower()
        if self._broker != "redis":
            self._servers.append(ScrapedServer(self._broker, self._count_messages))

    def describe(self) -> Iterator[Metric]:
        """Yield nothing, since registration must not require the servers."""
        yield from ()

    def collect(self) -> Iterator[Metric]:
        """Yield every metric."""
        yield gauge("target_images_per_minute", "Target throughput.", self._settings.target_images_per_minute)
        yield from self._measure_disk()
        for server in self._servers:
            yield from server.ask()

    def _measure_disk(self) -> Iterator[Metric]:
        folder = find_folder(self._settings.blobs())
        if folder is None or not folder.is_dir():
            return
        disk = disk_usage(folder)
        yield gauge("blobs_disk_bytes", "Size of the disk with the blobs.", disk.total)
        yield gauge("blobs_disk_free_bytes", "Free space on the disk with the blobs.", disk.free)
        yield gauge(
            "blobs_disk_least_bytes", "Free space below which uploads are refused.", self._settings.min_free_bytes
        )

    def _from_postgres(self) -> list[Metric]:
        figures = take_figures(self._engine)
        workers = list_live_workers(self._engine, self._settings.lease_s)
        canaries, partitions = read_canaries(self._engine), read_partition_figures(self._engine)
        return list(describe_everything(figures, workers, canaries, partitions, self._settings))

    def _from_redis(self) -> list[Metric]:
        memory = self._redis.info("memory")
        return [
            *(self._count_messages() if self._broker == "redis" else []),
            gauge("redis_memory_bytes", "Memory that Redis uses.", memory["used_memory"]),
            gauge("redis_memory_limit_bytes", "Memory limit of Redis, 0 for none.", memory["maxmemory"]),
        ]

    def _count_messages(self) -> list[Metric]:
        counts = {(queue,): float(count) for queue, count in self._counter.count_messages().items()}
        return [gauges("messages", "Messages in the broker; unacked ones are with workers.", ["queue"], counts)]
