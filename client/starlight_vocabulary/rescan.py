"""Rescans: jobs that scan again what another model judged."""

import uuid
from dataclasses import dataclass
from typing import Any, ClassVar

from starlight_vocabulary.job import DOCUMENTED


@dataclass(frozen=True, slots=True, kw_only=True)
class Rescan:
    """What became of one job whose images are to be scanned again."""

    rescan_of: uuid.UUID
    """The job that has them."""
    job_id: uuid.UUID | None = None
    """The one that scans them again; null where none of them is left."""
    images: int = 0
    """Images of that."""
    gone: int = 0
    """Images that were uploaded and are no longer stored, which are left out."""
    was_done: bool = False
    """Whether the same was asked for before, so that the job was there already."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RescanPage:
    """What became of some jobs, in the order of their ids."""

    __pydantic_config__: ClassVar[dict[str, Any]] = DOCUMENTED

    rescans: list[Rescan]
    next: uuid.UUID | None
    """To go on, ask the same with this as `after`; null where all is done."""
