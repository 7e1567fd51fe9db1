"""`/scan/batch`: scanning several images and transactions while the caller waits."""

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Annotated, Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel, FailFast, Field, TypeAdapter
from starlette.concurrency import run_in_threadpool

from producer.api.access import SubmittingImages
from producer.api.bodies import describe_body, validate
from producer.api.problems import ProblemError, document_problems, reject_field
from producer.api.service import Service, Shared
from producer.api.stargate.requests import finish_answer
from producer.api.stargate.scanning import ScanOptions
from producer.api.stargate.shapes import Batch, BatchResult
from producer.api.stargate.transactions import IS_ID, MAX_IMAGES, read_stored_message, store_images
from producer.api.stargate.waiting import SharedScanner
from producer.api.submission import open_upload
from producer.stargate_results import ScanResult, describe_error
from starlight_vocabulary.formats import JSON
from starlight_vocabulary.verdict import Verdict
from storage.uploads import Upload

router = APIRouter()

MAX_ITEMS = 50


class BatchItem(BaseModel):
    """An image or a transaction of the chain."""

    type: Literal["image", "transaction"]
    image_data: str = Field("", description="The bytes of an image, in Base64.")
    transaction_id: str = ""


class BatchRequest(BaseModel):
    """Up to 50 images and transactions."""

    items: Annotated[list[BatchItem], FailFast(), Field(min_length=1, max_length=MAX_ITEMS)]
    scan_options: ScanOptions = ScanOptions()


@dataclass(frozen=True, slots=True)
class StoredItem:
    """The references of an item, or the error if it has none."""

    references: Sequence[str] = ()
    error: str = ""


BATCH = TypeAdapter(BatchRequest)
BATCH_BODY = {"required": True, "content": {JSON: {"schema": describe_body(BATCH)}}}


@router.post("/scan/batch", openapi_extra={"requestBody": BATCH_BODY}, responses=document_problems(413, 504))
async def scan_batch(request: Request, key: SubmittingImages, service: Shared, scanner: SharedScanner) -> Batch:
    """Scan up to 50 images (in Base64) and transactions of the chain while the caller waits."""
    started = perf_counter()
    wanted = await run_in_threadpool(validate, BATCH, await request.body(), "body")
    options = wanted.scan_options
    verdicts: list[Verdict] = []
    batch_id = ""
    async with open_upload(service, key) as upload:
        stored = await run_in_threadpool(_store_items, service, key.name, upload, wanted.items)
        references = [reference for each in stored for reference in each.references]
        if references:
            submission, verdicts = await scanner.scan(upload, references, options.threshold)
            batch_id = str(submission.job_id)
    results, left = [], iter(verdicts)
    for number, (item, found) in enumerate(zip(wanted.items, stored, strict=True)):
        its = [next(left) for _ in found.references]
        message = None
        if item.type == "image" and its:
            message = await read_stored_message(service, scanner.reading, its[0])
        results.append(_report_item(number, item, found.error, its, options, message))
    answer = finish_answer(request, started)
    return Batch(
        batch_id=batch_id or answer["request_id"],
        total_items=len(results),
        processed_items=sum(result.status == "completed" for result in results),
        stego_detected=sum(result.stego_detected for result in results),
        results=results,
        **answer,
    )


def _store_items(service: Service, key: str, upload: Upload, items: Sequence[BatchItem]) -> list[StoredItem]:
    """Store the images of all items; raises a problem if one is not Base64, or the transactions have too many."""
    limit = service.settings.max_image_bytes + 1
    images = {number: _decode_item(number, item) for number, item in enumerate(items) if item.type == "image"}
    digests = upload.put_all([data[:limit] for data in images.values()]) if images else []
    stored = {number: StoredItem([f"blob://{digest}/{number}"]) for number, digest in zip(images, digests, strict=True)}
    found = 0
    for number, item in enumerate(items):
        if item.type == "transaction":
            stored[number] = _store_transaction(service, key, upload, item.transaction_id)
            found += len(stored[number].references)
        if found > MAX_IMAGES:
            raise ProblemError(413, f"the transactions have more than {MAX_IMAGES:,} images in total: send fewer")
    return [stored[number] for number in range(len(items))]


def _store_transaction(service: Service, key: str, upload: Upload, identity: str) -> StoredItem:
    """Store the images of a transaction; if it cannot be read, return the error, so that other items are scanned."""
    if not IS_ID.fullmatch(identity):
        return StoredItem(error="the id of a transaction must have 64 hexadecimal digits")
    try:
        _, references = store_images(service, key, identity.lower(), upload, with_images=True)
    except ProblemError as error:
        return StoredItem(error=error.detail)
    return StoredItem(references)


def _decode_item(number: int, item: BatchItem) -> bytes:
    try:
        return base64.b64decode(item.image_data.partition(";base64,")[2] or item.image_data, validate=True)
    except (binascii.Error, ValueError) as error:
        raise reject_field(f"items.{number}.image_data", f"is not valid Base64: {error}") from error


def _report_item(
    number: int, item: BatchItem, error: str, verdicts: Sequence[Verdict], options: ScanOptions, message: str | None
) -> BatchResult:
    if item.type == "image":
        error = describe_error(verdicts[0])
    scanned = verdicts[0] if item.type == "image" and not error else None
    stego = 0 if error else sum(verdict.is_stego is True for verdict in verdicts)
    return BatchResult(
        index=number,
        item_id=item.transaction_id if item.type == "transaction" else f"image_{number}",
        type=item.type,
        status="failed" if error else "completed",
        stego_detected=stego > 0,
        images_with_stego=stego,
        total_images=0 if error else len(verdicts),
        scan_result=scanned and ScanResult.of(scanned, with_message=options.extract_message, message=message),
        error=error,
    )
