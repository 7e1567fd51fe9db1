"""Exports of the API: requests and their state."""

import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar, Final

from starlight_vocabulary.job import DOCUMENTED
from starlight_vocabulary.words import Word

# Name of an export's manifest. Readers of Parquet folders ignore names that start with an underscore.
MANIFEST: Final = "_manifest.json"


class ExportState(Word):
    """The state of an export; one that is `deleted` still has files that will be removed."""

    PENDING = "pending"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    DELETED = "deleted"


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportedPart:
    """A complete file of an export."""

    path: str
    """Name of the file, and its path below `files/` of the export."""
    rows: int
    """Number of verdicts in the file."""
    size_bytes: int
    """Size of the file."""
    sha256: str
    """SHA-256 of the file, in hex."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportReport:
    """An export: its request, its progress and its files."""

    __pydantic_config__: ClassVar[dict[str, Any]] = DOCUMENTED

    id: uuid.UUID
    state: ExportState
    """`pending`, `running`, `done` or `failed`."""
    request: dict[str, Any]
    """The request."""
    rows: int
    """Number of verdicts in its files so far."""
    size_bytes: int
    """Total size of these files."""
    error: str | None
    """Why it failed."""
    created_at: datetime
    """When it was requested."""
    finished_at: datetime | None
    """When it ended."""
    expires_at: datetime | None
    """When its files are deleted; null before its end."""
    until: datetime | None = None
    """It contains verdicts before this time; null before its first file, and in lists."""
    files: list[ExportedPart] | None = None
    """Its files so far; null in lists."""

    @property
    def ended(self) -> bool:
        """Whether it is done or has failed."""
        return self.finished_at is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportList:
    """Exports, newest first."""

    __pydantic_config__: ClassVar[dict[str, Any]] = DOCUMENTED

    exports: list[ExportReport]
