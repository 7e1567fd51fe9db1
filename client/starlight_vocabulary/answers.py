"""The API's answers, other than single verdicts."""

import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar

from starlight_vocabulary.job import DOCUMENTED, Job
from starlight_vocabulary.verdict import Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class JobLinks:
    """Paths of related resources."""

    job: str
    verdicts: str
    events: str


@dataclass(frozen=True, slots=True, kw_only=True)
class JobReport(Job):
    """A job as the API returns it, with its rate, its estimated remaining time and links."""

    images_per_minute: float | None
    """Average rate since the job's start; null before, and if it was cancelled."""
    seconds_left: float | None
    """Remaining time at this rate; null if the rate is unknown."""
    links: JobLinks
    """Paths of the API."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobPage:
    """A page of jobs, newest first."""

    __pydantic_config__: ClassVar[dict[str, Any]] = DOCUMENTED

    jobs: list[JobReport]
    next: str | None
    """Path of the next page; null on the last page."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancellation:
    """The result of cancelling a job."""

    __pydantic_config__: ClassVar[dict[str, Any]] = DOCUMENTED

    cancelled: int
    """Number of images that will not be scanned."""
    job: JobReport


@dataclass(frozen=True, slots=True, kw_only=True)
class VerdictPage:
    """A page of verdicts."""

    __pydantic_config__: ClassVar[dict[str, Any]] = DOCUMENTED

    verdicts: list[Verdict]
    next: str | None
    """Path of the next page; null on the last page."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """Where a verdict comes from. Fields are null if no worker made the verdict, or if they were not recorded then."""

    __pydantic_config__: ClassVar[dict[str, Any]] = DOCUMENTED

    submitter: str
    """The submitter of the job."""
    model_name: str | None
    """The model that decided; null if none was used."""
    model_version: str | None
    """Version of the model."""
    weights_sha256: str | None
    """SHA-256 of the model's weights, in hex."""
    worker: str | None
    """The worker that stored the verdict: device@host."""
    device: str | None
    """The worker's device: `cpu0`, `gpu0`, …"""
    code_version: str | None
    """Version of the worker's program."""
    attempt: int | None
    """The number of the chunk's claim, counted from 1."""
    losses: int
    """How often the image's last chunk was lost."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VerdictReport(Verdict):
    """A verdict with its provenance."""

    provenance: Provenance


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """A comparison of a job's verdicts with its seal, the digest that was stored when the job ended.

    Ordinals are in ascending order, at most 1,000 in each list.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = DOCUMENTED

    job_id: uuid.UUID
    intact: bool
    """Whether all verdicts are unchanged."""
    root: str
    """The seal's digest, in hex. Store it elsewhere to detect that the seal itself was replaced."""
    sealed_at: datetime
    """When the job was sealed."""
    verdicts: int
    """Number of verdicts that were sealed."""
    differences: int
    """Number of verdicts that were changed, added or deleted."""
    changed: list[int]
    """Ordinals of changed verdicts."""
    added: list[int]
    """Ordinals of added verdicts."""
    deleted: list[int]
    """Ordinals of deleted verdicts."""
    unclear: list[int]
    """First ordinals of groups of 128 in which both verdicts and their part of the seal were changed."""
    seal_intact: bool
    """Whether the parts of the seal match its digest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveWorker:
    """A worker process that reported recently."""

    __pydantic_config__: ClassVar[dict[str, Any]] = DOCUMENTED

    name: str
    """Name of its Celery node: device@host."""
    device: str
    """The device that it computes on: `cpu0`, `gpu0`, …"""
    seen_at: datetime
    """Time of its last report, in UTC."""
    model: str
    """Name and version of the model that it scores with."""
    model_sha256: str
    """SHA-256 of the model's weights, in hex."""
    draining: bool = False
    """Whether it claims no more chunks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Statistics:
    """Throughput, outcomes, waiting images and workers, for all jobs together."""

    __pydantic_config__: ClassVar[dict[str, Any]] = DOCUMENTED

    taken_at: datetime
    images_per_minute: int
    """Verdicts stored in the last 60 seconds."""
    target_images_per_minute: int
    submitted: int
    """Number of references of all jobs."""
    outcomes: dict[str, int]
    """Number of verdicts of all jobs, by outcome."""
    waiting: dict[str, int]
    """Number of images without a verdict, by the state of their chunk."""
    oldest_waiting_s: float
    """Age in seconds of the oldest job with images that no worker has claimed."""
    workers: list[LiveWorker]
