"""The job: what it may be given, and where it stands."""

import uuid
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar, Final

from starlight_vocabulary.words import JobState, Priority, WebhookKind

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
    """Its images."""
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

    @property
    def ended(self) -> bool:
        """Whether no verdict is to come any more."""
        return self.finished == self.total
