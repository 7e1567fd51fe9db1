"""What Stargate's requests carry: one image in a form, and options."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from time import perf_counter
from typing import Any

from fastapi import Request
from starlette.concurrency import run_in_threadpool

from producer.api.problems import ProblemError, wrong_field
from producer.api.service import Service
from producer.api.stargate.shapes import failure
from producer.api.uploads import form_of, store_image
from storage.verdicts import Record

# Of a form around one image.
FORM_BYTES = 64 * 2**10
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


@dataclass(frozen=True, slots=True)
class UploadedImage:
    """The image of a form, as a reference, and the form's other fields."""

    name: str
    reference: str
    fields: dict[str, str]

    @property
    def digest(self) -> str:
        """Return the SHA-256 of the bytes, in hex."""
        return self.reference.split("/")[2]


@asynccontextmanager
async def uploaded_image(request: Request, service: Service) -> AsyncIterator[UploadedImage]:
    """Yield the part `image` of a form, stored; raises a problem where there is none, or it is too large."""
    async with form_of(request, service.settings.max_image_bytes + FORM_BYTES) as form:
        if len(form.images) != 1:
            raise wrong_field("image", "the form must carry one image")
        ((name, file),) = form.images
        reference = await run_in_threadpool(store_image, service.blobs, service.settings, name, file)
        yield UploadedImage(name, reference, form.fields)


def boolean(fields: dict[str, str], name: str, *, default: bool) -> bool:
    """Return a field that is true or false; raises a problem."""
    text = fields.get(name, "").strip().lower()
    if text not in ("", "true", "false"):
        raise wrong_field(name, f"must be true or false, not {text[:40]!r}")
    return default if not text else text == "true"


def threshold_of(value: str | None) -> float | None:
    """Return a threshold from above 0 to below 1; nothing and zero mean the model's own. Raises a problem."""
    try:
        threshold = float(value or 0)
    except ValueError:
        raise wrong_field("confidence_threshold", f"must be a number, not {str(value)[:40]!r}") from None
    if not 0 <= threshold < 1:
        raise wrong_field("confidence_threshold", "must be at least 0 and less than 1; 0 means the model's own")
    return threshold or None


def scanned(verdict: Record) -> Record:
    """Return the verdict; raises a problem (422) where it is an error."""
    if reason := failure(verdict):
        raise ProblemError(422, f"the image could not be scanned: {reason}", error_code=verdict["error_code"])
    return verdict


def answer_fields(request: Request, started: float) -> dict[str, Any]:
    """Return what every answer ends with; `started` is of `time.perf_counter`."""
    return {
        "processing_time_ms": round(1000 * (perf_counter() - started), 3),
        "request_id": request.state.request_id,
    }
