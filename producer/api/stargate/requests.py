"""Parsing Stargate's requests: forms with one image, and options."""

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
from producer.stargate_results import describe_error
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
                        "description": "For /extract; if it is not a method: the one that V4 finds.",
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
"""Stargate's other names of methods."""
OURS = (ErrorCode.UNAVAILABLE, ErrorCode.NOT_FOUND, ErrorCode.NOT_READABLE, ErrorCode.CANCELLED)
"""Errors whose cause is not the image itself."""


@dataclass(frozen=True, slots=True)
class ImageForm:
    """A form with one image, which is not stored before the other fields are validated."""

    name: str
    file: UploadFile
    fields: dict[str, str]

    async def read(self, service: Service) -> bytes:
        """Return the image; it is cut one byte above the limit of workers, which still makes it `too_large`."""
        return await self.file.read(service.settings.max_image_bytes + 1)


@asynccontextmanager
async def open_image_form(
    request: Request, upload: Upload, max_field_bytes: int = MAX_FIELD_BYTES
) -> AsyncIterator[ImageForm]:
    """Yield the form; raises a problem if it does not have exactly one image, or is too large."""
    async with open_form(request, upload, max_field_bytes) as form:
        if len(form.images) != 1:
            raise reject_field("image", "the form must have exactly one image")
        ((name, file),) = form.images
        yield ImageForm(name, file, form.fields)


def read_method(text: str) -> Method | None:
    """Return the method with this name or Stargate's name for it; None for others, such as `auto`."""
    name = text.strip().lower()
    return ALIASES.get(name) or (Method(name) if name in METHODS else None)


def read_boolean(fields: dict[str, str], name: str, *, default: bool) -> bool:
    """Return a boolean field, in any usual spelling; raises a problem (422)."""
    text = fields.get(name, "").strip().lower()
    if text and text not in TRUTHS:
        raise reject_field(name, f"must be true or false, not {text[:40]!r}")
    return TRUTHS[text] if text else default


def read_threshold(value: str | None) -> float | None:
    """Return a threshold between 0 and 1, None for the model's own; raises a problem (422)."""
    try:
        threshold = float(value or 0)
    except ValueError:
        raise reject_field("confidence_threshold", f"must be a number, not {str(value)[:40]!r}") from None
    if not 0 <= threshold <= 1:
        raise reject_field("confidence_threshold", "must be from 0 to 1; 0 means the model's own")
    return take_threshold(threshold)


def take_threshold(threshold: float) -> float | None:
    """Convert Stargate's threshold to a job's: 0 becomes None, and 1 the largest number below 1."""
    return min(threshold, math.nextafter(1.0, 0.0)) or None


def check_scanned(verdict: Verdict) -> None:
    """Raise a problem (503) if the image was not scanned and its bytes are not the cause.

    Files that are not images get 200: blocks contain texts too, and Stargate's circuit breaker opens after three other
    statuses.
    """
    if verdict.error_code in OURS:
        detail = f"the image could not be scanned: {describe_error(verdict)}"
        raise ProblemError(503, detail, headers={"Retry-After": str(RETRY_AFTER_S)}, error_code=verdict.error_code)


def finish_answer(request: Request, started: float) -> dict[str, Any]:
    """Return the members that every response ends with; `started` is a time of `perf_counter`."""
    return {
        "processing_time_ms": round(1000 * (perf_counter() - started), 3),
        "request_id": request.state.request_id,
    }
