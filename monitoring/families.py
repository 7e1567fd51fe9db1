"""The metrics that are made from figures in PostgreSQL."""

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate, product
from typing import TypeVar

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from starlight_vocabulary.answers import LiveWorker
from starlight_vocabulary.words import METHODS, ErrorCode, Priority
from storage.canaries import CLEAN, Canaries, CanaryResult
from storage.figures import WAITING_STATES, Figures
from storage.partitions import PartitionFigures
from storage.settings import Settings
from storage.totals import IMAGE_SECONDS, Total, Totals, WebhookResult

PUT_OFF = "put_off"
LabelValues = TypeVar("LabelValues", bound=tuple[str, ...])

STATES = (*(state.value for state in WAITING_STATES), PUT_OFF)


def gauge(name: str, explanation: str, value: float) -> Metric:
    """Return a gauge without labels."""
    return GaugeMetricFamily(f"starlight_{name}", explanation, value)


def gauges(
    name: str, explanation: str, labels: Sequence[str], values: Mapping[LabelValues, float]
) -> GaugeMetricFamily:
    """Return a gauge with labels."""
    family = GaugeMetricFamily(f"starlight_{name}", explanation, labels=labels)
    for label_values, value in values.items():
        family.add_metric(label_values, value)
    return family


def counter(name: str, explanation: str, value: float) -> Metric:
    """Return a counter without labels."""
    return CounterMetricFamily(f"starlight_{name}", explanation, value)


def counters(name: str, explanation: str, label: str, values: Mapping[str, int]) -> Metric:
    """Return a counter with one label."""
    family = CounterMetricFamily(f"starlight_{name}", explanation, labels=[label])
    for label_value, value in values.items():
        family.add_metric([label_value], value)
    return family


def describe_totals(figures: Figures) -> Iterator[Metric]:
    """Yield the counters."""
    totals = figures.totals
    outcomes = {outcome.value: count for outcome, count in figures.outcomes.items()}
    yield counter("images_submitted", "References of all jobs.", figures.submitted)
    yield counters("images_finished", "Verdicts of all jobs, by outcome.", "outcome", outcomes)
    for name, explanation, total, label, known in (
        ("image_errors", "Images with an error verdict, by error code.", Total.IMAGE_ERRORS, "code", ErrorCode),
        ("images_found", "Images with a stego verdict, by method.", Total.IMAGES_FOUND, "method", METHODS),
        ("chunks_dispatched", "Chunks published to Redis.", Total.CHUNKS_DISPATCHED, "priority", Priority),
        ("webhook_attempts", "Attempts to deliver a webhook.", Total.WEBHOOK_ATTEMPTS, "result", WebhookResult),
    ):
        yield counters(name, explanation, label, totals.by_label(total, known))
    for name, explanation, total in (
        ("images_reused", "Verdicts reused from earlier ones.", Total.IMAGES_REUSED),
        ("images_convicted", "Images with the error worker_crash.", Total.IMAGES_CONVICTED),
        ("chunks_claimed", "Claims of chunks.", Total.CHUNKS_CLAIMED),
        ("chunks_lost", "Leases that ran out.", Total.CHUNKS_LOST),
        ("chunks_split", "Chunks replaced by chunks of one image.", Total.CHUNKS_SPLIT),
        ("chunks_republished", "Chunks whose message seemed lost.", Total.CHUNKS_REPUBLISHED),
        ("chunks_put_off", "Scans after which images were put off.", Total.CHUNKS_PUT_OFF),
        ("chunks_given_back", "Chunks given back by workers.", Total.CHUNKS_GIVEN_BACK),
    ):
        yield counter(name, explanation, totals.get(total))
    yield describe_latency(figures)


def describe_latency(figures: Figures) -> Metric:
    """Return the histogram of the time from submission to verdict."""
    family = HistogramMetricFamily(
        "starlight_image_seconds", "Time from an image's submission to its verdict.", labels=["priority"]
    )
    for priority in Priority:
        buckets = read_buckets(figures.totals, Total.IMAGE_SECONDS, f"{priority.value} ")
        seconds = figures.totals.get(Total.IMAGE_MILLISECONDS, priority.value) / 1000
        family.add_metric([priority.value], buckets, seconds)
    return family


def read_buckets(totals: Totals, total: Total, before: str = "") -> list[tuple[str, int]]:
    """Return the buckets of a histogram; the labels of its totals are `before` and a bound of `IMAGE_SECONDS`."""
    counts = [totals.get(total, f"{before}{bound:g}") for bound in IMAGE_SECONDS]
    return [
        ("+Inf" if math.isinf(bound) else str(bound), count)
        for bound, count in zip(IMAGE_SECONDS, accumulate(counts), strict=True)
    ]


def describe_canaries(totals: Totals, canaries: Canaries, interval_s: float) -> Iterator[Metric]:
    """Yield the results of canaries. A timestamp is 0 if there was no such round in the last days."""
    images = CounterMetricFamily(
        "starlight_canary_images", "Canaries, by hidden method and result.", labels=["hidden", "result"]
    )
    for hidden, result in product((CLEAN, *METHODS), CanaryResult):
        images.add_metric([hidden, result], totals.get(Total.CANARY_IMAGES, f"{hidden} {result}"))
    yield images
    rounds = totals.by_label(Total.CANARY_ROUNDS, CanaryResult)
    yield counters("canary_rounds", "Rounds of canaries, by their worst result.", "result", rounds)
    seconds = HistogramMetricFamily("starlight_canary_seconds", "Time from a canary's submission to its verdict.")
    seconds.add_metric([], read_buckets(totals, Total.CANARY_SECONDS), totals.get(Total.CANARY_MILLISECONDS) / 1000)
    yield seconds
    ends = {(result.value,): 0.0 for result in CanaryResult}
    ends |= {(result.value,): time.timestamp() for result, time in canaries.ended_at.items()}
    yield gauges("canary_last_round_timestamp_seconds", "End of the newest round of this result.", ["result"], ends)
    slowest = canaries.newest.slowest_s if canaries.newest is not None else None
    yield gauge("canary_slowest_seconds", "Longest time of a canary in the newest round, 0 for none.", slowest or 0.0)
    yield gauge("canary_interval_seconds", "Interval between rounds of canaries; 0 if disabled.", interval_s)


def describe_queues(figures: Figures) -> Iterator[Metric]:
    """Yield the numbers and ages of waiting and running chunks, images and jobs."""
    keys = list(product((priority.value for priority in Priority), STATES))
    chunks, images, oldest = (dict.fromkeys(keys, 0.0) for _ in range(3))
    for queue in figures.queues:
        key = (str(queue.priority), PUT_OFF if queue.is_put_off else str(queue.state))
        chunks[key], images[key], oldest[key] = queue.chunks, queue.images, queue.oldest_s
    labels = ["priority", "state"]
    yield gauges("queue_chunks", "Chunks that have not ended.", labels, chunks)
    yield gauges("queue_images", "Images without a verdict.", labels, images)
    yield gauges("queue_oldest_seconds", "Age of the oldest job with such images.", labels, oldest)
    waiting = {(state.value,): float(count) for state, count in figures.waiting.items()}
    explanation = "Images without a verdict; those put off count as pending."
    yield gauges("images_waiting", explanation, ["state"], waiting)
    yield gauge("oldest_waiting_seconds", "Age of the oldest job with unclaimed images.", figures.oldest_waiting_s)
    explanation = "Submitted images that are neither finished nor waiting; other than 0 is a bug."
    yield gauge("images_unaccounted", explanation, figures.unaccounted)
    jobs = {(priority.value, state): 0.0 for priority in Priority for state in ("pending", "running")}
    left = {(priority.value,): 0.0 for priority in Priority}
    for each in figures.open_jobs:
        jobs |= {(str(each.priority), "pending"): each.pending, (str(each.priority), "running"): each.running}
        left[str(each.priority),] = each.longest_left_s
    yield gauges("jobs_open", "Jobs that have not ended.", labels, jobs)
    yield gauges("jobs_longest_left_seconds", "Longest remaining time of a running job.", ["priority"], left)


def describe_throughput(figures: Figures, target: int) -> Iterator[Metric]:
    """Yield the throughput of the last minute, also relative to the target."""
    finished = figures.finished_last_minute
    yield gauge("images_per_minute", "Verdicts stored in the last 60 seconds.", finished)
    yield gauge("target_ratio", "Verdicts of the last 60 seconds relative to the target.", finished / target)


def describe_rest(figures: Figures, settings: Settings) -> Iterator[Metric]:
    """Yield webhooks, stored bytes, and limits."""
    webhooks = figures.webhooks
    yield gauge("webhooks_waiting", "Webhooks of ended jobs that are not delivered yet.", webhooks.waiting)
    yield gauge("webhooks_failing", "Waiting webhooks with a failed attempt.", webhooks.failed)
    yield gauge("webhooks_oldest_seconds", "Time since the end of the oldest webhook's job.", webhooks.oldest_s)
    yield gauge("stored_bytes", "Bytes of images that jobs keep; shared ones count per job.", figures.stored_bytes)
    yield gauge("stored_bytes_largest", "The largest share of these of one submitter.", figures.stored_bytes_largest)
    yield gauge("stored_bytes_limit", "Limit of stored bytes for each API key.", settings.max_stored_bytes_per_key)
    yield gauge("images_waiting_limit", "Waiting images from which the API refuses.", settings.max_waiting_images)


def describe_partitions(figures: PartitionFigures) -> Iterator[Metric]:
    """Yield the state of the verdicts' partitions."""
    yield gauge("verdict_partitions", "Partitions of verdicts, without the default one.", figures.partitions)
    yield gauge("verdict_partitions_ahead_seconds", "Time until the last partition ends.", figures.ahead_s)
    yield gauge("verdicts_unplaced", "Verdicts in the default partition, at most 10,000.", figures.unplaced)


def describe_workers(workers: Sequence[LiveWorker]) -> Iterator[Metric]:
    """Yield the live workers, by device and model."""
    yield gauge("workers", "Live workers.", len(workers))
    labels = ["worker", "device"]
    alive = {(worker.name, worker.device): 1.0 for worker in workers}
    yield gauges("worker_up", "Workers that reported recently.", labels, alive)
    devices: dict[tuple[str, ...], float] = {}
    models: dict[tuple[str, ...], float] = {}
    for worker in workers:
        model = (worker.model, worker.model_sha256[:12])
        devices[worker.device,] = devices.get((worker.device,), 0) + 1
        models[model] = models.get(model, 0) + 1
    yield gauges("device_workers", "Live workers by device.", ["device"], devices)
    yield gauges("model_workers", "Live workers by the model they use.", ["model", "sha256"], models)


def describe_everything(
    figures: Figures,
    workers: Sequence[LiveWorker],
    canaries: Canaries,
    partitions: PartitionFigures,
    settings: Settings,
) -> Iterator[Metric]:
    """Yield all metrics from PostgreSQL."""
    yield from describe_throughput(figures, settings.target_images_per_minute)
    yield from describe_totals(figures)
    yield from describe_queues(figures)
    yield from describe_workers(workers)
    yield from describe_canaries(figures.totals, canaries, settings.canary_interval.total_seconds())
    yield from describe_partitions(partitions)
    yield from describe_rest(figures, settings)
