"""The job: what it may be given, and where it stands."""

import uuid
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar, Final

from starlight_vocabulary.words import JobState, ListingState, Priority, WebhookKind

DOCUMENTED: Final[dict[str, Any]] = {"use_attribute_docstrings": True}
# PostgreSQL holds no NUL.
NO_NUL: Final = r"^[^\x00]*$"
# Text that people give a name or key with.
SHORT_TEXT: Final = {"min_length": 1, "max_length": 200, "pattern": NO_NUL}


@dataclass(frozen=True, slots=True, kw_only=True)
class JobOptions:
    """What a job may be given beside its images. The server refuses values outside the bounds in the metadata."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {**DOCUMENTED, "extra": "forbid"}

    name: str | None = field(default=None, metadata=SHORT_TEXT)
    """A name for people."""
    priority: Priority = Priority.BULK
    """Interactive jobs overtake bulk jobs."""
    threshold: float | None = field(default=None, metadata={"gt": 0, "lt": 1})
    """Stego probability that counts as stego, instead of the model's own."""
    webhook: str | None = field(default=None, metadata={"pattern": r"^https?://[!-~]+$", "max_length": 2000})
    """A URL that is told when the job has ended, signed after Standard Webhooks."""
    webhook_kind: WebhookKind | None = None
    """`stargate`: the URL is told of each image of a block, as Stargate takes it; else once, of the job."""
    idempotency_key: str | None = field(default=None, metadata=SHORT_TEXT)
    """The same key of the same submitter again means the earlier job."""


# As in the URLs of browsers; a longer reference is a mistake.
MAX_REFERENCE: Final = 4096
# Names that people write down for one job.
SOME: Final = {"max_length": 100}


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSources:
    """What is listed for a job, in the background. Who asks for one names a source or a manifest at least."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {
        **DOCUMENTED, "extra": "forbid", "str_max_length": MAX_REFERENCE
    }  # fmt: skip

    uris: list[str] = field(default_factory=list, metadata=SOME)
    """`s3://bucket/2026/`, and of gs:// and az://: all that is below; an archive there; `bitcoin:block/840000`, …"""
    manifests: list[str] = field(default_factory=list, metadata=SOME)
    """Objects in buckets with a column of URIs, or of images: Parquet, CSV, NDJSON, inventories of S3."""
    column: str | None = field(default=None, metadata=SHORT_TEXT)
    """The column of the manifests; without it, one that is called `uri`, `url`, `image`, `path` or `file`."""
    include: list[str] = field(default_factory=list, metadata=SOME)
    """Only names like one of these patterns; `*` stands for any characters."""
    exclude: list[str] = field(default_factory=list, metadata=SOME)
    """No names like these."""
    since: uuid.UUID | None = None
    """Of prefixes, only what changed since this job."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One job: how many of its images have which outcome. Times are in UTC."""

    __pydantic_config__: ClassVar[dict[str, Any]] = DOCUMENTED

    id: uuid.UUID
    """Its id, by which jobs are ordered in time."""
    name: str | None
    """A name for people."""
    submitter: str
    """Who submitted it: an account, or the name of a key of the API."""
    priority: Priority
    """Interactive jobs overtake bulk jobs."""
    threshold: float | None
    """Null where the model's own decides."""
    state: JobState
    """Where it stands."""
    total: int
    """Its images; while its sources are listed, those that were found, and one for what is still to come."""
    finished: int
    """Those that have their verdict."""
    clean: int
    """Those where nothing was found."""
    stego: int
    """Those where something is hidden."""
    error: int
    """Those without a score."""
    created_at: datetime
    """When it was submitted."""
    started_at: datetime | None
    """When a worker claimed its first chunk."""
    finished_at: datetime | None
    """When its last verdict was stored."""
    retry_of: uuid.UUID | None
    """The job whose failed images this one scans again."""
    rescan_of: uuid.UUID | None = None
    """The job of which this one scans images that another model judged."""
    listing: ListingState | None = None
    """Where the listing of its sources stands; null of a job of references or images."""
    listing_error: str | None = None
    """Why the listing failed, or came no further until now."""

    @property
    def ended(self) -> bool:
        """Whether no verdict is to come any more."""
        return self.finished == self.total
