"""`/scan/image`: scanning one image while the caller waits."""

from time import perf_counter

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field

from producer.api.access import Submitting
from producer.api.problems import document_problems
from producer.api.service import Shared
from producer.api.stargate.messages import read_whole_text
from producer.api.stargate.requests import (
    IMAGE_FORM,
    check_scanned,
    finish_answer,
    open_image_form,
    read_boolean,
    read_threshold,
    take_threshold,
)
from producer.api.stargate.shapes import ImageInfo, ImageScan
from producer.api.stargate.waiting import SharedScanner
from producer.api.submission import open_upload
from producer.stargate_results import ScanResult
from storage.lone_uploads import LoneImage

router = APIRouter()


class ScanOptions(BaseModel):
    """How to scan; a threshold of 0 means the model's own."""

    extract_message: bool = True
    confidence_threshold: float = Field(0.0, ge=0, le=1)
    include_metadata: bool = True

    @property
    def threshold(self) -> float | None:
        """Return the job's threshold, None for the model's own."""
        return take_threshold(self.confidence_threshold)


@router.post("/scan/image", openapi_extra={"requestBody": IMAGE_FORM}, responses=document_problems(504))
async def scan_image(request: Request, key: Submitting, service: Shared, scanner: SharedScanner) -> ImageScan:
    """Scan one image while the caller waits."""
    started = perf_counter()
    async with open_upload(service, key) as upload, open_image_form(request, upload) as form:
        with_message = read_boolean(form.fields, "extract_message", default=True)
        read_boolean(form.fields, "include_metadata", default=True)
        threshold = read_threshold(form.fields.get("confidence_threshold"))
        image = LoneImage(key.name, form.name, await form.read(service), threshold)
        verdict = await scanner.scan_lone_image(image)
        check_scanned(verdict)
        message = await read_whole_text(service, scanner.reading, verdict, image.data) if with_message else None
    return ImageScan(
        scan_result=ScanResult.of(verdict, with_message=with_message, message=message),
        image_info=ImageInfo.of(verdict, form.name),
        **finish_answer(request, started),
    )
