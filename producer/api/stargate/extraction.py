"""`/extract`: what is hidden in one image."""

import asyncio
import json
import logging
import os
import sys
from time import perf_counter

from fastapi import APIRouter, Request

from producer.api.access import SubmittingImages
from producer.api.feeds import Feeds
from producer.api.problems import ProblemError, document_problems, reject_field
from producer.api.service import Shared
from producer.api.stargate.requests import IMAGE_FORM, check_scanned, finish_answer, open_image_form
from producer.api.stargate.shapes import Extraction, ExtractionDetails, ExtractionResult, ImageInfo
from producer.api.stargate.waiting import scan_now
from producer.api.submission import open_upload
from starlight_vocabulary.words import METHODS

router = APIRouter()
log = logging.getLogger(__name__)

# Processes that read at once, and how long one may take.
READERS = asyncio.Semaphore(2)
READING_S = 30.0
# What a reader ends with that can say why nothing could be read.
REFUSED = 3
# What the readers may know: no passwords, as they decode strangers' images.
ENVIRONMENT = (
    "PATH", "LANG", "PYTHONPATH", "STARLIGHT_MAX_IMAGE_PIXELS", "STARLIGHT_DECODE_BUDGET_BYTES",
    "STARLIGHT_MAX_MESSAGE_BYTES",
)  # fmt: skip
NOTHING = ExtractionDetails(bits_extracted=0, encoding="none", corruption_detected=False)


@router.post("/extract", openapi_extra={"requestBody": IMAGE_FORM}, responses=document_problems(504))
async def extract(request: Request, key: SubmittingImages, service: Shared, feeds: Feeds) -> Extraction:
    """Read what a method hides in an image; without `method`, what the one that V4 names does."""
    started = perf_counter()
    async with open_upload(service, key) as upload, open_image_form(request, upload) as form:
        asked = form.fields.get("method", "").strip()
        if asked and asked not in METHODS:
            raise reject_field("method", f"must be one of {', '.join(METHODS)}, or empty")
        reference = await form.store(service, upload)
        _, (verdict,) = await scan_now(service, feeds, upload, [reference], None)
        check_scanned(verdict)
        named = verdict.stego_type or ""
        method = asked or named
        result = ExtractionResult(
            message_found=False, message="", method_used=method, method_confidence=0.0, extraction_details=NOTHING
        )
        if method:
            await form.file.seek(0)
            result = await read_payload(await form.file.read(service.settings.max_image_bytes), method)
    if method == named:
        result.method_confidence = verdict.stego_probability or 0.0
    return Extraction(
        extraction_result=result, image_info=ImageInfo.of(verdict, form.name), **finish_answer(request, started)
    )


async def read_payload(data: bytes, method: str) -> ExtractionResult:
    """Return what a process of its own reads; raises a problem where it fails."""
    async with READERS:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "worker.read_message", method,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
            env={name: value for name, value in os.environ.items() if name in ENVIRONMENT},
        )  # fmt: skip
        try:
            output, errors = await asyncio.wait_for(process.communicate(data), READING_S)
        except TimeoutError:
            process.kill()
            await process.wait()
            raise ProblemError(422, f"the message could not be read within {READING_S:g} s") from None
    if process.returncode == REFUSED:
        reason = errors.decode(errors="replace").strip().rpartition("\n")[2]
        raise ProblemError(422, f"the message could not be read: {reason}")
    if process.returncode:
        # What an error that nobody foresaw says is for the log alone.
        log.warning("the reader of a message ended with %d: %s", process.returncode, errors.decode(errors="replace"))
        raise ProblemError(422, "the message could not be read: its reader failed")
    read = json.loads(output)
    size = read["payload_bytes"]
    return ExtractionResult(
        message_found=read["is_text"],
        message=read["message"],
        method_used=method,
        method_confidence=0.0,
        extraction_details=ExtractionDetails(
            bits_extracted=8 * size,
            encoding="utf-8" if read["is_text"] else "binary" if size else "none",
            corruption_detected=size > 0 and not read["is_text"],
        ),
    )
