"""Pictures on the page: stored images, decoded and encoded again in a decoding process; never the original bytes."""

import hashlib
from collections.abc import Callable
from contextlib import suppress
from typing import Annotated, Final, Literal

from fastapi import APIRouter, Depends, Path, Request, Response
from starlette.concurrency import run_in_threadpool

from producer.api.page.rendering import PREFIX
from producer.api.problems import ProblemError
from producer.api.routes.verdicts import VisibleVerdict
from producer.api.service import Service, Shared
from starlight_vocabulary.verdict import Verdict
from storage.stored_images import list_stored
from storage.version import VERSION
from worker.image_reading import ImageReader

HEADERS: Final = {
    # The browser may cache it, but must revalidate it each time.
    "Cache-Control": "private, no-cache",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; sandbox",
    "Referrer-Policy": "same-origin",
}

router = APIRouter(prefix=PREFIX, include_in_schema=False)
PlaneName = Annotated[str, Path(pattern="^[a-z0-9]{1,8}-bit-[0-7]$")]
Make = Callable[[bytes], bytes | None]


async def get_pictures(request: Request) -> ImageReader:
    """Return the image reader that renders pictures in this process."""
    pictures: ImageReader = request.app.state.pictures
    return pictures


Pictures = Annotated[ImageReader, Depends(get_pictures)]


@router.get("/jobs/{job_id}/verdicts/{ordinal}/picture")
async def show_picture(
    request: Request,
    verdict: VisibleVerdict,
    service: Shared,
    pictures: Pictures,
    size: Literal["small", "large"] = "large",
) -> Response:
    """Return a picture of a verdict's image; a problem (404) if it is not stored any more or cannot be decoded."""

    def make(data: bytes) -> bytes | None:
        return pictures.make_picture(data, thumbnail=size == "small")

    return await answer_picture(request, service, verdict, f"picture {size}", "webp", make)


@router.get("/jobs/{job_id}/verdicts/{ordinal}/planes/{name}")
async def show_bit_plane(
    request: Request,
    verdict: VisibleVerdict,
    service: Shared,
    pictures: Pictures,
    name: PlaneName,
    near: bool = False,
) -> Response:
    """Return a bit plane of a verdict's image with the payload marked; with `near`, that of the image's start."""

    def make(data: bytes) -> bytes | None:
        return pictures.draw_bit_plane(data, verdict.stego_type, verdict.bit_order, name, near=near)

    # The verdict's method determines where the payload is marked.
    kind = f"plane {name} {near} {verdict.stego_type} {verdict.bit_order}"
    return await answer_picture(request, service, verdict, kind, "png", make)


async def answer_picture(
    request: Request, service: Service, verdict: Verdict, kind: str, file_format: str, make: Make
) -> Response:
    """Return a picture of this kind, or 304 if the browser has it cached; raises a problem (404) if there is none."""
    tag = hashlib.sha256(f"{VERSION} {verdict.sha256} {kind}".encode()).hexdigest()[:32]
    headers = {**HEADERS, "ETag": f'"{tag}"', "Content-Disposition": f"inline; filename=picture.{file_format}"}

    def make_picture() -> bytes:
        picture = make(read_image(service, verdict))
        if picture is None:
            raise ProblemError(404, "there is no picture: the image cannot be decoded within the limits, or lacks this")
        return picture

    if f'"{tag}"' in request.headers.get("if-none-match", ""):
        await run_in_threadpool(require_stored, service, verdict)
        return Response(status_code=304, headers=headers)
    async with service.picture_turns:
        picture = await run_in_threadpool(make_picture)
    return Response(picture, media_type=f"image/{file_format}", headers=headers)


def require_stored(service: Service, verdict: Verdict) -> str:
    """Return the SHA-256 of a verdict's image; raises a problem (404) if its job does not store the image."""
    if verdict.sha256 is None or not list_stored(service.engine, [verdict]):
        raise ProblemError(404, "the image is not stored: it is elsewhere, or was deleted")
    return verdict.sha256


def read_image(service: Service, verdict: Verdict) -> bytes:
    """Return the bytes of a verdict's image; raises a problem (404) if its job does not store them."""
    digest = require_stored(service, verdict)
    with suppress(FileNotFoundError):
        return service.blobs.get(digest, service.settings.max_image_bytes)
    raise ProblemError(404, "the image is not stored: it was deleted")
