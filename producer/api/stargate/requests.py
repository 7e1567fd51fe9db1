"""What Stargate's requests carry: one image in a form, and options."""

import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from time import perf_counter
from typing import Any

from fastapi import Request
from starlette.datastructures import UploadFile

from producer.api.problems import RETRY_AFTER_S, ProblemError, reject_field
from producer.api.service import Service
from producer.api.uploads import MAX_FIELD_BYTES, open_form
from producer.stargate_results import explain_failure
from starlight_vocabulary.verdict import Verdict
from starlight_vocabulary.words import METHODS, ErrorCode, Method
from storage.uploads import Upload

IMAGE_FORM = {
    "required": True,
    "content": {
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "properties": {
                    "image": {"type": "string", "format": "binary"},
                    "extract_message": {"type": "string", "enum": ["true", "false"], "default": "true"},
                    "confidence_threshold": {"type": "string", "examples": ["0.00"]},
                    "include_metadata": {"type": "string", "enum": ["true", "false"]},
                    "method": {
                        "type": "string",
                        "description": "For /extract; what is none: the one that V4 names.",
                    },
                },
                "required": ["image"],
            }
        }
    },
}


TRUTHS = {**dict.fromkeys(("true", "1", "yes", "on", "t", "y"), True),
          **dict.fromkeys(("false", "0", "no", "off", "f", "n"), False)}  # fmt: skip
ALIASES = {"lsb": Method.LSB_RGB, "eoi": Method.RAW}
"""What Stargate calls methods beside their names."""
OURS = (ErrorCode.UNAVAILABLE, ErrorCode.NOT_FOUND, ErrorCode.NOT_READABLE, ErrorCode.CANCELLED)
"""Errors that have nothing to do with the bytes of an image that was sent."""


@dataclass(frozen=True, slots=True)
class ImageForm:
    """A form with one image, which is not stored before its other fields are known to be right."""

    name: str
    file: UploadFile
    fields: dict[str, str]

    async def read(self, service: Service) -> bytes:
        """Return the image; what is larger than workers read is cut, and told so there."""
        return await self.file.read(service.settings.max_image_bytes + 1)


@asynccontextmanager
async def open_image_form(
    request: Request, upload: Upload, max_field_bytes: int = MAX_FIELD_BYTES
) -> AsyncIterator[ImageForm]:
    """Yield the form; raises a problem where it has not one image, or is too large."""
    async with open_form(request, upload, max_field_bytes) as form:
        if len(form.images) != 1:
            raise reject_field("image", "the form must carry one image")
        ((name, file),) = form.images
        yield ImageForm(name, file, form.fields)


def read_method(text: str) -> Method | None:
    """Return the method of a name, also one of Stargate's own; None for what is none, such as `auto`."""
    name = text.strip().lower()
    return ALIASES.get(name) or (Method(name) if name in METHODS else None)


def read_boolean(fields: dict[str, str], name: str, *, default: bool) -> bool:
    """Return a field that is true or false, in one of the ways in which programs write that; raises a problem."""
    text = fields.get(name, "").strip().lower()
    if text and text not in TRUTHS:
        raise reject_field(name, f"must be true or false, not {text[:40]!r}")
    return TRUTHS[text] if text else default


def read_threshold(value: str | None) -> float | None:
    """Return a threshold from above 0 to below 1; nothing and zero mean the model's own. Raises a problem."""
    try:
        threshold = float(value or 0)
    except ValueError:
        raise reject_field("confidence_threshold", f"must be a number, not {str(value)[:40]!r}") from None
    if not 0 <= threshold <= 1:
        raise reject_field("confidence_threshold", "must be from 0 to 1; 0 means the model's own")
    return take_threshold(threshold)


def take_threshold(threshold: float) -> float | None:
    """Return a job's threshold: for 0 none, and for 1 one that certainty alone reaches."""
    return min(threshold, math.nextafter(1.0, 0.0)) or None


def check_scanned(verdict: Verdict) -> None:
    """Raise a problem (503) where it is not the bytes' fault that they were not scanned.

    What is no image is an answer of 200: Stargate's circuit breaker opens after three others, and blocks hold text.
    """
    if verdict.error_code in OURS:
        detail = f"the image could not be scanned: {explain_failure(verdict)}"
        raise ProblemError(503, detail, headers={"Retry-After": str(RETRY_AFTER_S)}, error_code=verdict.error_code)


def finish_answer(request: Request, started: float) -> dict[str, Any]:
    """Return what every answer ends with; `started` is of `time.perf_counter`."""
    return {
        "processing_time_ms": round(1000 * (perf_counter() - started), 3),
        "request_id": request.state.request_id,
    }
