"""Pictures on the page: made anew of stored bytes in a decoding process, never the bytes of a stranger themselves."""

import asyncio
from contextlib import suppress
from typing import Annotated, Final, Literal

from fastapi import APIRouter, Depends, Request, Response
from starlette.concurrency import run_in_threadpool

from producer.api.page.rendering import PREFIX, render
from producer.api.page.verdicts import VisibleVerdict
from producer.api.problems import ProblemError
from producer.api.reading import TURNS as READING_TURNS
from producer.api.reading import ImageReading
from producer.api.service import Service, Shared
from starlight_vocabulary.inspection import Inspection
from starlight_vocabulary.verdict import Verdict
from storage.stored_images import list_stored
from worker.image_reading import ImageReader, UnseenImageError

# Decoding processes that make pictures, of all keys; each is started when it is needed.
MAKERS: Final = 2
HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; sandbox",
    "Content-Disposition": "inline; filename=picture.webp",
    "Referrer-Policy": "same-origin",
}

# Held by who has a picture made. Others wait for it, and take neither a thread nor the bytes of an image meanwhile.
TURNS: Final = asyncio.Semaphore(MAKERS)

router = APIRouter(prefix=PREFIX, include_in_schema=False)


def get_pictures(request: Request) -> ImageReader:
    """Return what makes pictures in this process."""
    pictures: ImageReader = request.app.state.pictures
    return pictures


@router.get("/jobs/{job_id}/verdicts/{ordinal}/picture")
async def show_picture(
    verdict: VisibleVerdict,
    service: Shared,
    pictures: Annotated[ImageReader, Depends(get_pictures)],
    size: Literal["small", "large"] = "large",
) -> Response:
    """Return the picture of a verdict's image, where its job still keeps the image and something can be seen."""
    async with TURNS:
        picture = await run_in_threadpool(make_picture, service, pictures, verdict, thumbnail=size == "small")
    return Response(picture, media_type="image/webp", headers=HEADERS)


def make_picture(service: Service, pictures: ImageReader, verdict: Verdict, *, thumbnail: bool) -> bytes:
    """Return the picture; raises a problem where there is none."""
    picture = pictures.make_picture(read_image(service, verdict), thumbnail=thumbnail)
    if picture is None:
        raise ProblemError(404, "there is no picture: the image cannot be decoded within the limits")
    return picture


@router.get("/jobs/{job_id}/verdicts/{ordinal}/inspection")
async def show_inspection(
    request: Request, verdict: VisibleVerdict, service: Shared, reading: ImageReading
) -> Response:
    """Show everything that is found in a verdict's image, whether V4 looks there or not."""

    def inspect() -> Inspection:
        try:
            return reading.inspect(read_image(service, verdict))
        except UnseenImageError as error:
            raise ProblemError(422, f"the image cannot be looked into: {error}") from None

    async with READING_TURNS:
        inspection = await run_in_threadpool(inspect)
    return render(request, "inspection.html", verdict=verdict, inspection=inspection)


def read_image(service: Service, verdict: Verdict) -> bytes:
    """Return the bytes that a verdict is about; raises a problem where its job does not keep them."""
    if verdict.sha256 is not None and list_stored(service.engine, [verdict]):
        with suppress(FileNotFoundError):
            return service.blobs.get(verdict.sha256, service.settings.max_image_bytes)
    raise ProblemError(404, "the image is not stored: it lies elsewhere, or was deleted")
