"""Operations on a running installation: pauses, draining, requeueing, and the record of who did what."""

import uuid
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar

from starlight_vocabulary.job import DOCUMENTED, SHORT_TEXT
from starlight_vocabulary.words import Priority, Word


class Action(Word):
    """The kind of an operation."""

    PAUSE = "pause"
    RESUME = "resume"
    DRAIN = "drain"
    UNDRAIN = "undrain"
    REQUEUE = "requeue"
    PRIORITY = "priority"
    CREATE_KEY = "create_key"
    IMPORT_KEY = "import_key"
    REVOKE_KEY = "revoke_key"
    REDELIVER = "redeliver"


@dataclass(frozen=True, slots=True, kw_only=True)
class PauseSubject:
    """Which chunks a pause holds back: those of one priority, submitter or job, or all if none is given."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {**DOCUMENTED, "extra": "forbid"}

    priority: Priority | None = None
    """Jobs of this priority."""
    submitter: str | None = field(default=None, metadata=SHORT_TEXT)
    """Jobs of this submitter."""
    job_id: uuid.UUID | None = None
    """This job."""

    def __str__(self) -> str:
        """Return the description that is stored with the operation."""
        named = {"priority": self.priority, "submitter": self.submitter, "job": self.job_id}
        return ", ".join(f"{kind} {value}" for kind, value in named.items() if value is not None) or "everything"


@dataclass(frozen=True, slots=True, kw_only=True)
class PauseReport:
    """A pause in effect."""

    __pydantic_config__: ClassVar[dict[str, Any]] = DOCUMENTED

    id: int
    """Id with which the pause is ended."""
    priority: Priority | None
    """Jobs of this priority are held back."""
    submitter: str | None
    """Jobs of this submitter are held back."""
    job_id: uuid.UUID | None
    """This job is held back. If all three are null, everything is."""
    paused_by: str
    """Login name or name of the key that started the pause."""
    paused_at: datetime
    """When it started, in UTC."""

    @property
    def subject(self) -> PauseSubject:
        """Which chunks are held back."""
        return PauseSubject(priority=self.priority, submitter=self.submitter, job_id=self.job_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class PauseList:
    """All pauses in effect."""

    __pydantic_config__: ClassVar[dict[str, Any]] = DOCUMENTED

    pauses: list[PauseReport]


@dataclass(frozen=True, slots=True, kw_only=True)
class RequeueRequest:
    """Which chunks to requeue: those of one job or one worker, or all if neither is given."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {**DOCUMENTED, "extra": "forbid"}

    job_id: uuid.UUID | None = None
    """Chunks of this job."""
    worker: str | None = field(default=None, metadata=SHORT_TEXT)
    """Chunks that this worker has claimed."""

    def __str__(self) -> str:
        """Return the description that is stored with the operation."""
        named = {"job": self.job_id, "worker": self.worker}
        return ", ".join(f"{kind} {value}" for kind, value in named.items() if value is not None) or "everything"


@dataclass(frozen=True, slots=True, kw_only=True)
class Requeueing:
    """The result of requeueing."""

    __pydantic_config__: ClassVar[dict[str, Any]] = DOCUMENTED

    chunks: int
    """Number of chunks that are pending again; this does not count as a loss."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PriorityChange:
    """The new priority of a job."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {**DOCUMENTED, "extra": "forbid"}

    priority: Priority
    """Interactive jobs overtake bulk jobs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Draining:
    """The workers that started or stopped draining."""

    __pydantic_config__: ClassVar[dict[str, Any]] = DOCUMENTED

    workers: list[str]
    """The workers that this request changed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One operation of an operator."""

    __pydantic_config__: ClassVar[dict[str, Any]] = DOCUMENTED

    id: int
    """Id of the operation; ids are ordered by time."""
    done_at: datetime
    """When it was done, in UTC."""
    done_by: str
    """Login name, or name of the key."""
    action: Action
    """What was done."""
    subject: str
    """What it was done to: everything, a priority, a submitter, a job, a worker or a key."""
    chunks: int
    """Number of chunks that were made pending again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OperationList:
    """The newest operations, newest first."""

    __pydantic_config__: ClassVar[dict[str, Any]] = DOCUMENTED

    operations: list[Operation]
