"""`/scan/image` and `/scan/batch`."""

import base64
import binascii
from time import perf_counter
from typing import Annotated, Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel, FailFast, Field, TypeAdapter
from starlette.concurrency import run_in_threadpool

from producer.api.access import Submitting, SubmittingImages
from producer.api.bodies import describe_body, validate
from producer.api.feeds import Feeds
from producer.api.lone_images import TakingIn
from producer.api.problems import document_problems, reject_field
from producer.api.reading import ImageReading
from producer.api.service import Shared
from producer.api.stargate.messages import is_cut, read_whole_text
from producer.api.stargate.requests import (
    IMAGE_FORM,
    check_scanned,
    finish_answer,
    open_image_form,
    read_boolean,
    read_threshold,
    take_threshold,
)
from producer.api.stargate.shapes import Batch, BatchResult, ImageInfo, ImageScan
from producer.api.stargate.waiting import scan_lone_image, scan_now
from producer.api.submission import open_upload
from producer.stargate_results import ScanResult, explain_failure
from starlight_vocabulary.formats import JSON
from starlight_vocabulary.verdict import Verdict
from storage.lone_uploads import LoneImage

router = APIRouter()

MAX_ITEMS = 50
NO_TRANSACTIONS = "transactions are not resolved in a batch: send each to /scan/transaction"


class ScanOptions(BaseModel):
    """How to scan; a threshold of 0 means the model's own."""

    extract_message: bool = True
    confidence_threshold: float = Field(0.0, ge=0, le=1)
    include_metadata: bool = True

    @property
    def threshold(self) -> float | None:
        """Return the job's threshold, None for the model's own."""
        return take_threshold(self.confidence_threshold)


class BatchItem(BaseModel):
    """One image."""

    type: Literal["image", "transaction"]
    image_data: str = Field("", description="Base64.")
    transaction_id: str = ""


class BatchRequest(BaseModel):
    """Up to 50 images."""

    items: Annotated[list[BatchItem], FailFast(), Field(min_length=1, max_length=MAX_ITEMS)]
    scan_options: ScanOptions = ScanOptions()


BATCH = TypeAdapter(BatchRequest)
BATCH_BODY = {"required": True, "content": {JSON: {"schema": describe_body(BATCH)}}}


@router.post("/scan/image", openapi_extra={"requestBody": IMAGE_FORM}, responses=document_problems(504))
async def scan_image(
    request: Request, key: Submitting, service: Shared, taking_in: TakingIn, feeds: Feeds, reading: ImageReading
) -> ImageScan:
    """Scan one image while the caller waits."""
    started = perf_counter()
    async with open_upload(service, key) as upload, open_image_form(request, upload) as form:
        with_message = read_boolean(form.fields, "extract_message", default=True)
        read_boolean(form.fields, "include_metadata", default=True)
        threshold = read_threshold(form.fields.get("confidence_threshold"))
        image = LoneImage(key.name, form.name, await form.read(service), threshold)
        verdict = await scan_lone_image(service, taking_in, feeds, image)
        check_scanned(verdict)
        message = await read_whole_text(service, reading, verdict, image.data) if with_message else None
    return ImageScan(
        scan_result=ScanResult.of(verdict, with_message=with_message, message=message),
        image_info=ImageInfo.of(verdict, form.name),
        **finish_answer(request, started),
    )


@router.post("/scan/batch", openapi_extra={"requestBody": BATCH_BODY}, responses=document_problems(504))
async def scan_batch(
    request: Request, key: SubmittingImages, service: Shared, feeds: Feeds, reading: ImageReading
) -> Batch:
    """Scan up to 50 images, in Base64, while the caller waits."""
    started = perf_counter()
    wanted = await run_in_threadpool(validate, BATCH, await request.body(), "body")
    images = {number: _decode_item(number, item) for number, item in enumerate(wanted.items) if item.type == "image"}
    if not images:
        raise reject_field("items", f"there is no image among them; {NO_TRANSACTIONS}")
    limit = service.settings.max_image_bytes + 1
    async with open_upload(service, key) as upload:
        digests = await run_in_threadpool(upload.put_all, [data[:limit] for data in images.values()])
        references = [f"blob://{digest}/{number}" for number, digest in zip(images, digests, strict=True)]
        submission, verdicts = await scan_now(service, feeds, upload, references, wanted.scan_options.threshold)
    by_item = dict(zip(images, verdicts, strict=True))
    messages = {
        number: await read_whole_text(service, reading, verdict, images[number])
        for number, verdict in by_item.items()
        if is_cut(verdict)
    }
    results = [
        _report_item(number, item.type, by_item.get(number), wanted.scan_options, messages.get(number))
        for number, item in enumerate(wanted.items)
    ]
    return Batch(
        batch_id=str(submission.job_id),
        total_items=len(results),
        processed_items=sum(result.status == "completed" for result in results),
        stego_detected=sum(result.scan_result is not None and result.scan_result.is_stego for result in results),
        results=results,
        **finish_answer(request, started),
    )


def _decode_item(number: int, item: BatchItem) -> bytes:
    try:
        return base64.b64decode(item.image_data.partition(";base64,")[2] or item.image_data, validate=True)
    except (binascii.Error, ValueError) as error:
        raise reject_field(f"items.{number}.image_data", f"is no Base64: {error}") from error


def _report_item(
    number: int, kind: str, verdict: Verdict | None, options: ScanOptions, message: str | None
) -> BatchResult:
    error = NO_TRANSACTIONS if verdict is None else explain_failure(verdict)
    if verdict is None or error:
        return BatchResult(index=number, type=kind, status="failed", scan_result=None, error=error)
    result = ScanResult.of(verdict, with_message=options.extract_message, message=message)
    return BatchResult(index=number, type=kind, status="completed", scan_result=result, error="")
