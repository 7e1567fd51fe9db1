"""Pictures on the page: made anew of stored bytes in a decoding process, never the bytes of a stranger themselves."""

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
    # Kept by the browser of who may see it, who asks each time whether it still is as it was.
    "Cache-Control": "private, no-cache",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; sandbox",
    "Referrer-Policy": "same-origin",
}

router = APIRouter(prefix=PREFIX, include_in_schema=False)
PlaneName = Annotated[str, Path(pattern="^[a-z0-9]{1,8}-bit-[0-7]$")]
Make = Callable[[bytes], bytes | None]


async def get_pictures(request: Request) -> ImageReader:
    """Return what makes pictures in this process."""
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
    """Return the picture of a verdict's image, where its job still keeps the image and something can be seen."""

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
    """Return a bit plane of a verdict's image, with the payload marked; with `near` that of the image's start."""

    def make(data: bytes) -> bytes | None:
        return pictures.draw_bit_plane(data, verdict.stego_type, verdict.bit_order, name, near=near)

    # Where the payload lies is read by the verdict's method.
    kind = f"plane {name} {near} {verdict.stego_type} {verdict.bit_order}"
    return await answer_picture(request, service, verdict, kind, "png", make)


async def answer_picture(
    request: Request, service: Service, verdict: Verdict, kind: str, file_format: str, make: Make
) -> Response:
    """Return a picture of this kind, or 304 where the browser has it; raises a problem where there is none."""
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
    """Return the SHA-256 of an image that the verdict's job keeps; raises a problem where it does not."""
    if verdict.sha256 is None or not list_stored(service.engine, [verdict]):
        raise ProblemError(404, "the image is not stored: it lies elsewhere, or was deleted")
    return verdict.sha256


def read_image(service: Service, verdict: Verdict) -> bytes:
    """Return the bytes that a verdict is about; raises a problem where its job does not keep them."""
    digest = require_stored(service, verdict)
    with suppress(FileNotFoundError):
        return service.blobs.get(digest, service.settings.max_image_bytes)
    raise ProblemError(404, "the image is not stored: it was deleted")
