"""What is in an image that was judged, for a person."""

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
from storage.verdicts import VerdictFilter, find_verdicts
from worker.image_reading import ImageReader, UnseenImageError

router = APIRouter(prefix="/v1", tags=["verdicts"])


@router.get("/images/{sha256}/inspection", response_model=ImageInspection)
async def inspect_image(
    key: Reading, service: Shared, reading: ImageReading, sha256: Annotated[Sha256, Path()]
) -> JSONResponse:
    """Look into the file with these bytes in every way that is known, beside the newest verdict on them.

    Of images that were uploaded and are still stored for one of these jobs: what other references lead to is not.
    """
    digest = sha256.lower()
    async with service.reading_turns:
        found = await run_in_threadpool(look_into, service, reading, digest, visible_submitter(key))
    return JSONResponse(to_json(found))


def look_into(service: Service, reading: ImageReader, digest: str, submitter: str | None) -> ImageInspection:
    """Return what is in the image; raises a problem where it cannot be seen."""
    verdict, data = find_image(service, digest, submitter)
    try:
        return ImageInspection(verdict=verdict, inspection=reading.inspect(data))
    except UnseenImageError as error:
        raise ProblemError(422, f"the image cannot be looked into: {error}") from None


def find_image(service: Service, digest: str, submitter: str | None) -> tuple[Verdict, bytes]:
    """Return the newest verdict that may be seen on these bytes, and the bytes; raises a problem without either."""
    verdict = next(find_verdicts(service.engine, VerdictFilter(sha256=digest, submitter=submitter), 1), None)
    if verdict is None:
        raise ProblemError(404, f"there is no verdict on an image with the SHA-256 {digest}")
    # Not whatever is stored: that another customer has uploaded the same bytes is nobody's business.
    if keeps_blob(service.engine, digest, submitter):
        with suppress(FileNotFoundError):
            return verdict, service.blobs.get(digest, service.settings.max_image_bytes)
    raise ProblemError(
        404, "the image with these bytes is not kept here, only its verdicts: `starlight inspect` reads a file"
    )
