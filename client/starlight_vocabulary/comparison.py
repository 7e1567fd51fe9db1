"""What two models say of the same files."""

import uuid
from dataclasses import dataclass
from typing import Any, ClassVar

from starlight_vocabulary.job import DOCUMENTED
from starlight_vocabulary.words import Method, Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class PairCount:
    """On how many files the first model says this and the other that."""

    outcome: Outcome
    """What the first says: `clean` or `stego`."""
    stego_type: Method | None
    """By which method."""
    other_outcome: Outcome
    """What the other says."""
    other_stego_type: Method | None
    """By which method."""
    agrees: bool
    """Whether both say the same."""
    files: int
    """Of how many files."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DifferingFile:
    """A file on which two models differ, with the newest verdict of each."""

    sha256: str
    """Of the file's bytes, in hex."""
    uri: str
    """The reference in the first one's job."""
    job_id: uuid.UUID
    """The job of the first one's verdict."""
    ordinal: int
    """Which of the job's references."""
    outcome: Outcome
    """What the first model says."""
    stego_type: Method | None
    """By which method."""
    stego_probability: float
    """Its probability that something is hidden."""
    other_job_id: uuid.UUID
    """The job of the other one's verdict."""
    other_ordinal: int
    """Which of that job's references."""
    other_outcome: Outcome
    """What the other model says."""
    other_stego_type: Method | None
    """By which method."""
    other_stego_probability: float
    """Its probability that something is hidden."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What two models say of the files that both have judged, by the newest verdict of each."""

    __pydantic_config__: ClassVar[dict[str, Any]] = DOCUMENTED

    files: int
    """How many both have judged."""
    differing: int
    """On how many they differ in outcome or method."""
    counts: list[PairCount]
    """What both say, the most frequent first."""
    sample: list[DifferingFile]
    """Files on which they differ."""
