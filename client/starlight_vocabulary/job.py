"""Jobs: their options, sources and state."""

import uuid
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar, Final

from starlight_vocabulary.words import JobState, ListingState, Priority, WebhookKind

DOCUMENTED: Final[dict[str, Any]] = {"use_attribute_docstrings": True}
# PostgreSQL cannot store NUL.
NO_NUL: Final = r"^[^\x00]*$"
# Limits of names and keys.
SHORT_TEXT: Final = {"min_length": 1, "max_length": 200, "pattern": NO_NUL}


@dataclass(frozen=True, slots=True, kw_only=True)
class JobOptions:
    """The options of a job. The server refuses values outside the limits in the metadata."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {**DOCUMENTED, "extra": "forbid"}

    name: str | None = field(default=None, metadata=SHORT_TEXT)
    """A name for people."""
    priority: Priority = Priority.BULK
    """Interactive jobs overtake bulk jobs."""
    threshold: float | None = field(default=None, metadata={"gt": 0, "lt": 1})
    """Stego probability from which an image counts as stego; the default is the model's own."""
    webhook: str | None = field(default=None, metadata={"pattern": r"^https?://[!-~]+$", "max_length": 2000})
    """A URL that is notified when the job has ended; messages are signed as in Standard Webhooks."""
    webhook_kind: WebhookKind | None = None
    """`stargate`: one message for each image of a block, in Stargate's format; otherwise one message for the job."""
    idempotency_key: str | None = field(default=None, metadata=SHORT_TEXT)
    """A repeated submission with the same key by the same submitter returns the earlier job."""


# The usual limit for URLs in browsers; a longer reference is a mistake.
MAX_REFERENCE: Final = 4096
# Limit of a list of sources or patterns.
SOME: Final = {"max_length": 100}


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSources:
    """The sources of a job that the server lists in the background; at least one URI or manifest is required."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {
        **DOCUMENTED, "extra": "forbid", "str_max_length": MAX_REFERENCE
    }  # fmt: skip

    uris: list[str] = field(default_factory=list, metadata=SOME)
    """Prefixes such as `s3://bucket/2026/`, also gs:// and az://; archives in buckets; `bitcoin:block/840000`, …"""
    manifests: list[str] = field(default_factory=list, metadata=SOME)
    """Objects in buckets with a column of URIs or images: Parquet, CSV, NDJSON, S3 inventories."""
    column: str | None = field(default=None, metadata=SHORT_TEXT)
    """The column of the manifests; the default is one named `uri`, `url`, `image`, `path` or `file`."""
    include: list[str] = field(default_factory=list, metadata=SOME)
    """Only names that match one of these patterns; `*` matches any characters."""
    exclude: list[str] = field(default_factory=list, metadata=SOME)
    """No names that match one of these patterns."""
    since: uuid.UUID | None = None
    """Only objects below prefixes that changed since this job."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One job, with the numbers of its images by outcome. Times are in UTC."""

    __pydantic_config__: ClassVar[dict[str, Any]] = DOCUMENTED

    id: uuid.UUID
    """The job's id; ids are ordered by time."""
    name: str | None
    """A name for people."""
    submitter: str
    """The submitter: an account, or the name of an API key."""
    priority: Priority
    """Interactive jobs overtake bulk jobs."""
    threshold: float | None
    """The job's threshold; null for the model's own."""
    state: JobState
    """The job's state."""
    total: int
    """Number of images; while its sources are being listed, those found so far plus one."""
    finished: int
    """Number of images with a verdict."""
    clean: int
    """Number of images in which nothing was found."""
    stego: int
    """Number of images in which something is hidden."""
    error: int
    """Number of images without a score."""
    created_at: datetime
    """When it was submitted."""
    started_at: datetime | None
    """When a worker claimed its first chunk."""
    finished_at: datetime | None
    """When its last verdict was stored."""
    retry_of: uuid.UUID | None
    """The job whose failed images this one scans again."""
    rescan_of: uuid.UUID | None = None
    """The job whose images, judged by another model, this one scans again."""
    listing: ListingState | None = None
    """State of the listing of its sources; null if the job has none."""
    listing_error: str | None = None
    """Why the listing failed, or why it is delayed."""

    @property
    def ended(self) -> bool:
        """Whether all verdicts are stored."""
        return self.finished == self.total
