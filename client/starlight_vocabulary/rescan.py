"""Rescans: jobs that scan images again that another model judged."""

import uuid
from dataclasses import dataclass
from typing import Any, ClassVar

from starlight_vocabulary.job import DOCUMENTED


@dataclass(frozen=True, slots=True, kw_only=True)
class Rescan:
    """The result for one job whose images are scanned again."""

    rescan_of: uuid.UUID
    """The earlier job."""
    job_id: uuid.UUID | None = None
    """The new job that scans the images again; null if none are left."""
    images: int = 0
    """Number of images in the new job."""
    gone: int = 0
    """Number of uploaded images that are no longer stored, and were left out."""
    was_done: bool = False
    """Whether an earlier request already created the new job."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RescanPage:
    """The results for some jobs, in the order of their ids."""

    __pydantic_config__: ClassVar[dict[str, Any]] = DOCUMENTED

    rescans: list[Rescan]
    next: uuid.UUID | None
    """Repeat the request with this as `after` for the next page; null on the last page."""
