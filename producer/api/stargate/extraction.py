"""`/extract`: what is hidden in one image."""

from time import perf_counter

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool

from producer.api.access import SubmittingImages
from producer.api.feeds import Feeds
from producer.api.problems import document_problems, reject_field
from producer.api.reading import ImageReading
from producer.api.service import Shared
from producer.api.stargate.requests import IMAGE_FORM, check_scanned, finish_answer, open_image_form
from producer.api.stargate.shapes import Extraction, ExtractionDetails, ExtractionResult, ImageInfo
from producer.api.stargate.waiting import scan_now
from producer.api.submission import open_upload
from starlight_vocabulary.words import METHODS, Method

router = APIRouter()


@router.post("/extract", openapi_extra={"requestBody": IMAGE_FORM}, responses=document_problems(504))
async def extract(
    request: Request, key: SubmittingImages, service: Shared, feeds: Feeds, reading: ImageReading
) -> Extraction:
    """Read what a method hides in an image; without `method`, what the one that V4 names does."""
    started = perf_counter()
    payload = None
    async with open_upload(service, key) as upload, open_image_form(request, upload) as form:
        asked = form.fields.get("method", "").strip()
        if asked and asked not in METHODS:
            raise reject_field("method", f"must be one of {', '.join(METHODS)}, or empty")
        reference = await form.store(service, upload)
        _, (verdict,) = await scan_now(service, feeds, upload, [reference], None)
        check_scanned(verdict)
        named = verdict.stego_type or ""
        method = asked or named
        if method:
            async with service.reading_turns:
                await form.file.seek(0)
                data = await form.file.read(service.settings.max_image_bytes)
                payload = await run_in_threadpool(reading.read, data, Method(method))
    message = payload.to_message() if payload else None
    is_text = payload is not None and payload.text is not None
    result = ExtractionResult(
        message_found=is_text,
        message=message or "",
        method_used=method,
        method_confidence=(verdict.stego_probability or 0.0) if method == named else 0.0,
        extraction_details=ExtractionDetails(
            bits_extracted=8 * (payload.size or 0) if payload else 0,
            encoding="utf-8" if is_text else "binary" if message else "none",
            corruption_detected=message is not None and not is_text,
        ),
    )
    return Extraction(
        extraction_result=result, image_info=ImageInfo.of(verdict, form.name), **finish_answer(request, started)
    )
