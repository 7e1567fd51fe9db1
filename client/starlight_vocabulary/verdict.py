"""The verdict: what became of one image, in the shape in which it is printed, exported, sent and read."""

import uuid
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, ClassVar, Final

from starlight_vocabulary.payload import EXAMPLE_PAYLOAD, Payload
from starlight_vocabulary.words import BitOrder, ErrorCode, Method, Outcome

# A verdict as it may look, for the API's documentation.
EXAMPLE: Final = {
    "job_id": "019a1b2c-3d4e-7f60-8a9b-0c1d2e3f4a5b", "ordinal": 7, "uri": "s3://evidence/2026/cat.png",
    "sha256": "9f" * 32, "outcome": "stego", "is_stego": True, "stego_probability": 0.9987, "confidence": 0.9987,
    "prediction": "stego", "stego_type": "alpha", "bit_order": "lsb-first", "extracted_message": "meet me at noon",
    "error_code": None, "error_detail": None, "model": f"starlight-v4-1.2.0@sha256:{'5c' * 32}", "threshold": 0.85,
    "width": 640, "height": 480, "format": "PNG", "size_bytes": 412345, "reused": False,
    "scanned_at": "2026-06-01T12:00:00.123456+00:00", "payload": EXAMPLE_PAYLOAD,
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What became of one image. Without a score, what rests on it is null. The keys are an interface."""

    # What pydantic, on the server, is to read beside the types.
    __pydantic_config__: ClassVar[dict[str, Any]] = {
        "use_attribute_docstrings": True,
        "json_schema_extra": {"examples": [EXAMPLE]},
    }

    job_id: uuid.UUID
    """The job."""
    ordinal: int
    """Which of the job's references, counted from 0."""
    uri: str
    """The reference."""
    sha256: str | None
    """Of the file's bytes, in hex."""
    outcome: Outcome
    """What became of the image."""
    is_stego: bool | None
    """Whether V4 decided that something is hidden."""
    stego_probability: float | None
    """V4's probability that something is hidden."""
    confidence: float | None
    """The probability of what was predicted."""
    prediction: Outcome | None
    """V4's decision: `clean` or `stego`."""
    stego_type: Method | None
    """How it is hidden."""
    bit_order: BitOrder | None
    """In which order the hidden bits stand."""
    extracted_message: str | None
    """What was read from there, whatever a stranger hid: evidence, not part of the decision."""
    error_code: ErrorCode | None
    """Why there is no score."""
    error_detail: str | None
    """The reason in words; of an image that is damaged and stego all the same, what is damaged."""
    model: str | None
    """Name, version and SHA-256 of the weights that decided."""
    threshold: float | None
    """From which probability on the image counts as stego."""
    width: int | None
    """In pixels."""
    height: int | None
    """In pixels."""
    format: str | None
    """Of the file, under Pillow's name for it."""
    size_bytes: int | None
    """Of the file."""
    reused: bool
    """Whether this is the same model's earlier verdict on the same bytes."""
    scanned_at: datetime
    """When the verdict was stored, in UTC."""
    payload: Payload | None = None
    """What was read from there, in parts; null where nothing was, and in verdicts of releases before this key."""


VERDICT_KEYS: Final = tuple(field.name for field in fields(Verdict))
"""The names of a verdict's fields, in their order."""
