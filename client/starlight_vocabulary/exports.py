"""Exports that the API makes: what is asked for, and how far they are."""

import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar, Final

from starlight_vocabulary.job import DOCUMENTED
from starlight_vocabulary.words import Word

# Beside the files of an export. Readers of folders of Parquet leave out names that begin so.
MANIFEST: Final = "_manifest.json"


class ExportState(Word):
    """Where an export stands; one that is `deleted` still has files that are to go."""

    PENDING = "pending"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    DELETED = "deleted"


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportedPart:
    """A file of an export, which is whole."""

    path: str
    """Its name, and where it is: below `files/` of the export."""
    rows: int
    """Verdicts in it."""
    size_bytes: int
    """Of the file."""
    sha256: str
    """Of the file, in hex."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportReport:
    """An export: what was asked for, how far it is, and its files."""

    __pydantic_config__: ClassVar[dict[str, Any]] = DOCUMENTED

    id: uuid.UUID
    state: ExportState
    """`pending`, `running`, `done` or `failed`."""
    request: dict[str, Any]
    """What was asked for."""
    rows: int
    """Verdicts that are in files so far."""
    size_bytes: int
    """Bytes of these files."""
    error: str | None
    """Why it failed."""
    created_at: datetime
    """When it was asked for."""
    finished_at: datetime | None
    """When it ended."""
    expires_at: datetime | None
    """When its files are deleted; null before its end."""
    until: datetime | None = None
    """Verdicts before this time are in it; null before its first file, and in lists."""
    files: list[ExportedPart] | None = None
    """Its files so far; null in lists."""

    @property
    def ended(self) -> bool:
        """Whether it is done, or has failed."""
        return self.finished_at is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportList:
    """Exports, newest first."""

    __pydantic_config__: ClassVar[dict[str, Any]] = DOCUMENTED

    exports: list[ExportReport]
