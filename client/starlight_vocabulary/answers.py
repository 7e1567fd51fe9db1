"""What the API answers beside single verdicts."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar

from starlight_vocabulary.job import DOCUMENTED, Job
from starlight_vocabulary.verdict import Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class JobLinks:
    """Where to go on."""

    job: str
    verdicts: str
    events: str


@dataclass(frozen=True, slots=True, kw_only=True)
class JobReport(Job):
    """A job as the API answers it: also how fast it goes, how long it may take, and where to go on."""

    images_per_minute: float | None
    """Since the job's start; null before."""
    seconds_left: float | None
    """At this rate; null where none is known."""
    links: JobLinks
    """Paths of the API."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobPage:
    """A page of jobs, newest first."""

    __pydantic_config__: ClassVar[dict[str, Any]] = DOCUMENTED

    jobs: list[JobReport]
    next: str | None
    """Where the next page is; null on the last."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancellation:
    """What became of a job that was cancelled."""

    __pydantic_config__: ClassVar[dict[str, Any]] = DOCUMENTED

    cancelled: int
    """Images that will not be scanned."""
    job: JobReport


@dataclass(frozen=True, slots=True, kw_only=True)
class VerdictPage:
    """Some verdicts."""

    __pydantic_config__: ClassVar[dict[str, Any]] = DOCUMENTED

    verdicts: list[Verdict]
    next: str | None
    """Where those are that follow; null on the last page."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveWorker:
    """A worker process that reported lately."""

    __pydantic_config__: ClassVar[dict[str, Any]] = DOCUMENTED

    name: str
    """Its Celery node: device@host."""
    device: str
    """`cpu0`, `gpu0`, …"""
    seen_at: datetime
    """When it last reported, in UTC."""
    model: str
    """Name and version of the model that it scores with."""
    model_sha256: str
    """Of the model's weights, in hex."""
    draining: bool = False
    """Whether it claims no more chunks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Statistics:
    """How much is done, how much waits and who works, of all jobs together."""

    __pydantic_config__: ClassVar[dict[str, Any]] = DOCUMENTED

    taken_at: datetime
    images_per_minute: int
    """Verdicts stored in the last 60 seconds."""
    target_images_per_minute: int
    submitted: int
    """References of all jobs."""
    outcomes: dict[str, int]
    """Verdicts of all jobs, by outcome."""
    waiting: dict[str, int]
    """Images without a verdict, by the state of their chunk."""
    oldest_waiting_s: float
    """Age in seconds of the oldest job with images that nobody has claimed."""
    workers: list[LiveWorker]
