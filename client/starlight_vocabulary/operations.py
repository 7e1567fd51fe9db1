"""What operators do to a running installation: what they hold back, which workers drain, and who did what when."""

import uuid
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar

from starlight_vocabulary.job import DOCUMENTED, SHORT_TEXT
from starlight_vocabulary.words import Priority, Word


class Action(Word):
    """What an operator did."""

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
    """Whose chunks are held back: those of one priority, one submitter or one job, or all where none is named."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {**DOCUMENTED, "extra": "forbid"}

    priority: Priority | None = None
    """Jobs of this priority."""
    submitter: str | None = field(default=None, metadata=SHORT_TEXT)
    """Jobs of this submitter."""
    job_id: uuid.UUID | None = None
    """This job."""

    def __str__(self) -> str:
        """Return it in words, as operations name it."""
        named = {"priority": self.priority, "submitter": self.submitter, "job": self.job_id}
        return ", ".join(f"{kind} {value}" for kind, value in named.items() if value is not None) or "everything"


@dataclass(frozen=True, slots=True, kw_only=True)
class PauseReport:
    """What is held back, by whom and since when."""

    __pydantic_config__: ClassVar[dict[str, Any]] = DOCUMENTED

    id: int
    """By which it is ended."""
    priority: Priority | None
    """Jobs of this priority are held back."""
    submitter: str | None
    """Jobs of this submitter are."""
    job_id: uuid.UUID | None
    """This job is; everything is where none of the three is named."""
    paused_by: str
    """A login name, or the name of a key."""
    paused_at: datetime
    """In UTC."""

    @property
    def subject(self) -> PauseSubject:
        """What is held back."""
        return PauseSubject(priority=self.priority, submitter=self.submitter, job_id=self.job_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class PauseList:
    """All that is held back."""

    __pydantic_config__: ClassVar[dict[str, Any]] = DOCUMENTED

    pauses: list[PauseReport]


@dataclass(frozen=True, slots=True, kw_only=True)
class RequeueRequest:
    """Which chunks go back: those of one job or one worker, or of all where neither is named."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {**DOCUMENTED, "extra": "forbid"}

    job_id: uuid.UUID | None = None
    """Those of this job."""
    worker: str | None = field(default=None, metadata=SHORT_TEXT)
    """Those that this worker has claimed."""

    def __str__(self) -> str:
        """Return it in words, as operations name it."""
        named = {"job": self.job_id, "worker": self.worker}
        return ", ".join(f"{kind} {value}" for kind, value in named.items() if value is not None) or "everything"


@dataclass(frozen=True, slots=True, kw_only=True)
class Requeueing:
    """What went back."""

    __pydantic_config__: ClassVar[dict[str, Any]] = DOCUMENTED

    chunks: int
    """Chunks that are pending again, and lost nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PriorityChange:
    """The priority that a job is to have."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {**DOCUMENTED, "extra": "forbid"}

    priority: Priority
    """Interactive jobs overtake bulk jobs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Draining:
    """Which workers drain now, or do no more."""

    __pydantic_config__: ClassVar[dict[str, Any]] = DOCUMENTED

    workers: list[str]
    """Those that this request changed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One thing that an operator did."""

    __pydantic_config__: ClassVar[dict[str, Any]] = DOCUMENTED

    id: int
    """By which operations are ordered in time."""
    done_at: datetime
    """In UTC."""
    done_by: str
    """A login name, or the name of a key."""
    action: Action
    """What was done."""
    subject: str
    """To what: everything, a priority, a submitter, a job, a worker, a key."""
    chunks: int
    """How many chunks went back to be dispatched anew."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OperationList:
    """The newest operations, newest first."""

    __pydantic_config__: ClassVar[dict[str, Any]] = DOCUMENTED

    operations: list[Operation]
