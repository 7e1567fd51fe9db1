"""Comparisons of two models on the same files."""

import uuid
from dataclasses import dataclass
from typing import Any, ClassVar

from starlight_vocabulary.job import DOCUMENTED
from starlight_vocabulary.words import Method, Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class PairCount:
    """The number of files for one pair of results of the two models."""

    outcome: Outcome
    """Outcome of the first model: `clean` or `stego`."""
    stego_type: Method | None
    """Method that the first model names."""
    other_outcome: Outcome
    """Outcome of the other model."""
    other_stego_type: Method | None
    """Method that the other model names."""
    agrees: bool
    """Whether both results are the same."""
    files: int
    """Number of files with these results."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DifferingFile:
    """A file on which two models differ, with the newest verdict of each."""

    sha256: str
    """SHA-256 of the file's bytes, in hex."""
    uri: str
    """Reference to the file in the first model's job."""
    job_id: uuid.UUID
    """Job of the first model's verdict."""
    ordinal: int
    """Ordinal of the reference in that job."""
    outcome: Outcome
    """Outcome of the first model."""
    stego_type: Method | None
    """Method that the first model names."""
    stego_probability: float
    """The first model's probability that something is hidden."""
    other_job_id: uuid.UUID
    """Job of the other model's verdict."""
    other_ordinal: int
    """Ordinal of the reference in that job."""
    other_outcome: Outcome
    """Outcome of the other model."""
    other_stego_type: Method | None
    """Method that the other model names."""
    other_stego_probability: float
    """The other model's probability that something is hidden."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """A comparison of two models on the files that both have judged, by the newest verdict of each."""

    __pydantic_config__: ClassVar[dict[str, Any]] = DOCUMENTED

    files: int
    """Number of files that both models have judged."""
    differing: int
    """Number of files on which they differ in outcome or method."""
    counts: list[PairCount]
    """Numbers of files by the results of both models, the most frequent first."""
    sample: list[DifferingFile]
    """Files on which they differ."""
