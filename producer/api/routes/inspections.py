"""Inspections of images, for people."""

from contextlib import suppress
from typing import Annotated

from fastapi import APIRouter, Path
from fastapi.responses import JSONResponse
from starlette.concurrency import run_in_threadpool

from producer.api.access import Reading, visible_submitter
from producer.api.filters import Sha256
from producer.api.problems import ProblemError
from producer.api.reading import ImageReading
from producer.api.service import Service, Shared
from starlight_vocabulary.inspection import ImageInspection
from starlight_vocabulary.records import to_json
from starlight_vocabulary.verdict import Verdict
from storage.stored_images import keeps_blob
from storage.verdict_search import VerdictFilter, find_verdicts
from worker.image_reading import ImageReader, UnseenImageError

router = APIRouter(prefix="/v1", tags=["verdicts"])


@router.get("/images/{sha256}/inspection", response_model=ImageInspection)
async def inspect_image(
    key: Reading, service: Shared, reading: ImageReading, sha256: Annotated[Sha256, Path()]
) -> JSONResponse:
    """Inspect an image by all methods, and return the findings with its newest verdict.

    Only for images that were uploaded and are still stored; images behind other references are not stored.
    """
    digest = sha256.lower()
    async with service.reading_turns:
        found = await run_in_threadpool(inspect_stored_image, service, reading, digest, visible_submitter(key))
    return JSONResponse(to_json(found))


def inspect_stored_image(service: Service, reading: ImageReader, digest: str, submitter: str | None) -> ImageInspection:
    """Return the inspection of an image; raises a problem if it is not available or cannot be decoded."""
    verdict, data = find_image(service, digest, submitter)
    try:
        return ImageInspection(verdict=verdict, inspection=reading.inspect(data))
    except UnseenImageError as error:
        raise ProblemError(422, f"the image cannot be inspected: {error}") from None


def find_image(service: Service, digest: str, submitter: str | None) -> tuple[Verdict, bytes]:
    """Return the newest visible verdict on an image, and its bytes; raises a problem (404) if one is missing."""
    verdict = next(find_verdicts(service.engine, VerdictFilter(sha256=digest, submitter=submitter), 1), None)
    if verdict is None:
        raise ProblemError(404, f"there is no verdict on an image with the SHA-256 {digest}")
    # Only a blob of the submitter's own jobs: that another customer uploaded the same bytes must not be revealed.
    if keeps_blob(service.engine, digest, submitter):
        with suppress(FileNotFoundError):
            return verdict, service.blobs.get(digest, service.settings.max_image_bytes)
    raise ProblemError(
        404, "the image is not stored here, only its verdicts: inspect the file itself with `starlight inspect`"
    )
