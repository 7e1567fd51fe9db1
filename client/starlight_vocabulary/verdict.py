"""The verdict on one image, as it is printed, exported, sent and read."""

import uuid
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, ClassVar, Final

from starlight_vocabulary.payload import EXAMPLE_PAYLOAD, Payload
from starlight_vocabulary.words import BitOrder, ErrorCode, Method, Outcome

# An example for the API's documentation.
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
    """The verdict on one image. Without a score, the fields that depend on it are null. The keys are stable."""

    # Read by pydantic on the server.
    __pydantic_config__: ClassVar[dict[str, Any]] = {
        "use_attribute_docstrings": True,
        "json_schema_extra": {"examples": [EXAMPLE]},
    }

    job_id: uuid.UUID
    """The job."""
    ordinal: int
    """The position of the reference in the job, counted from 0."""
    uri: str
    """The reference."""
    sha256: str | None
    """SHA-256 of the file's bytes, in hex."""
    outcome: Outcome
    """The outcome."""
    is_stego: bool | None
    """Whether V4 decided that something is hidden."""
    stego_probability: float | None
    """V4's probability that something is hidden."""
    confidence: float | None
    """The probability of the prediction."""
    prediction: Outcome | None
    """V4's decision: `clean` or `stego`."""
    stego_type: Method | None
    """The embedding method."""
    bit_order: BitOrder | None
    """The order of the hidden bits."""
    extracted_message: str | None
    """The hidden message, as far as it could be read. It is evidence, not part of the decision, and untrusted."""
    error_code: ErrorCode | None
    """Why there is no score."""
    error_detail: str | None
    """A description of the error; for a stego image that is damaged, a description of the damage."""
    model: str | None
    """Name, version and SHA-256 of the weights of the model that decided."""
    threshold: float | None
    """The stego probability from which the image counts as stego."""
    width: int | None
    """Width in pixels."""
    height: int | None
    """Height in pixels."""
    format: str | None
    """Pillow's name for the format of the file."""
    size_bytes: int | None
    """Size of the file."""
    reused: bool
    """Whether this is the same model's earlier verdict on the same bytes."""
    scanned_at: datetime
    """When the verdict was stored, in UTC."""
    payload: Payload | None = None
    """The hidden data in a form for programs; null if nothing was read, and in verdicts of earlier releases."""


VERDICT_KEYS: Final = tuple(field.name for field in fields(Verdict))
"""The names of a verdict's fields, in their order."""
