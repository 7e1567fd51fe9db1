"""Metrics for Prometheus, read from PostgreSQL and Redis at each scrape, never from events, which can be lost."""

import logging
import time
from collections.abc import Callable, Iterator

import redis
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from storage.broker import count_messages
from storage.figures import take_figures
from storage.settings import Settings
from storage.workers import list_live_workers

log = logging.getLogger(__name__)


class StarlightCollector(Collector):
    """Answers each scrape with what the servers say at that moment; a server that is down shows as `…_up 0`."""

    def __init__(self, engine: Engine, broker: "redis.Redis", settings: Settings) -> None:
        self._engine = engine
        self._broker = broker
        self._settings = settings

    def describe(self) -> Iterator[Metric]:
        """Yield nothing: registration must not need the servers."""
        yield from ()

    def collect(self) -> Iterator[Metric]:
        """Yield every metric."""
        yield gauge("target_images_per_minute", "Target throughput.", self._settings.target_images_per_minute)
        yield from self._guarded("postgres", self._from_postgres)
        yield from self._guarded("redis", self._from_redis)

    def _guarded(self, server: str, collect: Callable[[], list[Metric]]) -> Iterator[Metric]:
        started = time.monotonic()
        try:
            metrics = collect()
            up = 1
        except (SQLAlchemyError, redis.RedisError) as error:
            log.warning("%s does not answer: %s", server, error)
            metrics, up = [], 0
        yield from metrics
        yield gauge(f"{server}_up", f"Whether {server} answered this scrape.", up)
        yield gauge(f"{server}_scrape_seconds", f"How long {server} took.", time.monotonic() - started)

    def _from_postgres(self) -> list[Metric]:
        figures = take_figures(self._engine)
        workers = list_live_workers(self._engine, self._settings.lease_s)
        finished = CounterMetricFamily("starlight_images_finished", "Verdicts of all jobs.", labels=["outcome"])
        for outcome, count in figures.outcomes.items():
            finished.add_metric([outcome], count)
        waiting = GaugeMetricFamily("starlight_images_waiting", "Images without a verdict.", labels=["state"])
        for state, count in figures.waiting.items():
            waiting.add_metric([state], count)
        alive = GaugeMetricFamily("starlight_worker_up", "Workers that reported lately.", labels=["worker", "device"])
        for worker in workers:
            alive.add_metric([worker.name, worker.device], 1)
        unaccounted = figures.submitted - sum(figures.outcomes.values()) - sum(figures.waiting.values())
        return [
            finished,
            waiting,
            alive,
            CounterMetricFamily("starlight_images_submitted", "References of all jobs.", figures.submitted),
            gauge(
                "images_unaccounted",
                "Submitted, but neither finished nor waiting; anything but 0 is a bug.",
                unaccounted,
            ),
            gauge("images_per_minute", "Verdicts stored in the last 60 seconds.", figures.finished_last_minute),
            gauge("oldest_waiting_seconds", "Age of the oldest job with unclaimed images.", figures.oldest_waiting_s),
            gauge("workers", "Live workers.", len(workers)),
        ]

    def _from_redis(self) -> list[Metric]:
        messages = GaugeMetricFamily("starlight_messages", "Chunk ids in Redis.", labels=["queue"])
        for queue, count in count_messages(self._broker).items():
            messages.add_metric([queue], count)
        memory = self._broker.info("memory")
        return [messages, gauge("redis_memory_bytes", "Memory that Redis uses.", memory["used_memory"])]


def gauge(name: str, explanation: str, value: float) -> Metric:
    """Return a gauge without labels."""
    return GaugeMetricFamily(f"starlight_{name}", explanation, value)
