"""`/extract`: reading what is hidden in one image."""

from time import perf_counter

from fastapi import APIRouter, Request

from producer.api.access import Submitting
from producer.api.problems import document_problems
from producer.api.service import Shared
from producer.api.stargate.messages import NO_MESSAGE, read_message
from producer.api.stargate.requests import IMAGE_FORM, check_scanned, finish_answer, open_image_form, read_method
from producer.api.stargate.shapes import Extraction, ExtractionDetails, ExtractionResult, ImageInfo
from producer.api.stargate.waiting import SharedScanner
from producer.api.submission import open_upload
from producer.stargate_results import describe_error
from starlight_vocabulary.words import Method
from storage.lone_uploads import LoneImage

router = APIRouter()


@router.post("/extract", openapi_extra={"requestBody": IMAGE_FORM}, responses=document_problems(504))
async def extract(request: Request, key: Submitting, service: Shared, scanner: SharedScanner) -> Extraction:
    """Read what is hidden in an image by `method`, or else by the method that V4 finds."""
    started = perf_counter()
    found = NO_MESSAGE
    async with open_upload(service, key) as upload, open_image_form(request, upload) as form:
        asked = read_method(form.fields.get("method", ""))
        image = LoneImage(key.name, form.name, await form.read(service), None)
        verdict = await scanner.scan_lone_image(image)
        check_scanned(verdict)
        error = describe_error(verdict)
        method = asked or (Method(verdict.stego_type) if verdict.stego_type else None)
        if method and not error:
            found = await read_message(service, scanner.reading, image.data, method, verdict)
    result = ExtractionResult(
        message_found=bool(found.text),
        message=found.text,
        method_used=method or "",
        method_confidence=(verdict.stego_probability or 0.0) if method and method == verdict.stego_type else 0.0,
        extraction_details=ExtractionDetails(
            bits_extracted=8 * found.size,
            encoding=found.encoding,
            corruption_detected=found.encoding == "base64",
            truncated=found.truncated,
            error=error,
        ),
    )
    return Extraction(
        extraction_result=result, image_info=ImageInfo.of(verdict, form.name), **finish_answer(request, started)
    )
