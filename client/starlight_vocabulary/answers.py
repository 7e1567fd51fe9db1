"""What the API answers beside single verdicts."""

import uuid
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
class Provenance:
    """Where a verdict comes from. What a worker did not make, or made before this was recorded, names none."""

    __pydantic_config__: ClassVar[dict[str, Any]] = DOCUMENTED

    submitter: str
    """Who submitted the job."""
    model_name: str | None
    """The model that decided; null where none was asked."""
    model_version: str | None
    """Its version."""
    weights_sha256: str | None
    """Of the model's weights, in hex."""
    worker: str | None
    """Who stored the verdict: device@host."""
    device: str | None
    """What that worker computes on: `cpu0`, `gpu0`, …"""
    code_version: str | None
    """Of the worker's program."""
    attempt: int | None
    """Which claim of its chunk this was, counted from 1."""
    losses: int
    """How often the chunk that the image ended in was lost."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VerdictReport(Verdict):
    """A verdict, and where it comes from."""

    provenance: Provenance


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """What the verdicts of a job are beside its seal, the digest that was stored when it had ended.

    Ordinals are in order, at most 1,000 in each list.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = DOCUMENTED

    job_id: uuid.UUID
    intact: bool
    """Whether all verdicts are as they were."""
    root: str
    """The seal's digest, in hex. Who keeps it elsewhere knows whether the seal was replaced."""
    sealed_at: datetime
    """When the job was sealed."""
    verdicts: int
    """How many verdicts were sealed."""
    differences: int
    """How many verdicts were changed, added or deleted."""
    changed: list[int]
    """Ordinals of verdicts that say something else."""
    added: list[int]
    """Those of verdicts that were not there."""
    deleted: list[int]
    """Those of verdicts that are gone."""
    unclear: list[int]
    """Among the 128 from each of these on, something was changed, and what would tell which, too."""
    seal_intact: bool
    """Whether the parts of the seal make up its digest."""


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
