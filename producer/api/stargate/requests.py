"""What Stargate's requests carry: one image in a form, and options."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from time import perf_counter
from typing import Any

from fastapi import Request
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile

from producer.api.problems import ProblemError, reject_field
from producer.api.service import Service
from producer.api.stargate.shapes import explain_failure
from producer.api.uploads import MAX_FIELD_BYTES, open_form, store_image
from starlight_vocabulary.verdict import Verdict
from starlight_vocabulary.words import METHODS, Method
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
                    "method": {"type": "string", "description": "For /extract; empty: the one that V4 names."},
                },
                "required": ["image"],
            }
        }
    },
}


ALIASES = {"lsb": Method.LSB_RGB, "eoi": Method.RAW}
"""What Stargate calls methods beside their names."""


@dataclass(frozen=True, slots=True)
class ImageForm:
    """A form with one image, which is not stored before its other fields are known to be right."""

    name: str
    file: UploadFile
    fields: dict[str, str]

    async def store(self, service: Service, upload: Upload) -> str:
        """Store the image and return its reference."""
        return await run_in_threadpool(store_image, upload, service.settings, self.name, self.file)


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
    """Return a field that is true or false; raises a problem."""
    text = fields.get(name, "").strip().lower()
    if text not in ("", "true", "false"):
        raise reject_field(name, f"must be true or false, not {text[:40]!r}")
    return default if not text else text == "true"


def read_threshold(value: str | None) -> float | None:
    """Return a threshold from above 0 to below 1; nothing and zero mean the model's own. Raises a problem."""
    try:
        threshold = float(value or 0)
    except ValueError:
        raise reject_field("confidence_threshold", f"must be a number, not {str(value)[:40]!r}") from None
    if not 0 <= threshold < 1:
        raise reject_field("confidence_threshold", "must be at least 0 and less than 1; 0 means the model's own")
    return threshold or None


def check_scanned(verdict: Verdict) -> None:
    """Raise a problem (422) where the verdict is an error."""
    if reason := explain_failure(verdict):
        raise ProblemError(422, f"the image could not be scanned: {reason}", error_code=verdict.error_code)


def finish_answer(request: Request, started: float) -> dict[str, Any]:
    """Return what every answer ends with; `started` is of `time.perf_counter`."""
    return {
        "processing_time_ms": round(1000 * (perf_counter() - started), 3),
        "request_id": request.state.request_id,
    }
