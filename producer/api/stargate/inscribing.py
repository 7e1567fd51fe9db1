"""`/inscribe`: hiding a message in an image, to be inscribed in the chain by the client. Nothing is stored."""

import base64
import hashlib
from pathlib import PurePath
from time import perf_counter

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool

from producer.api.access import Submitting
from producer.api.problems import ProblemError, document_problems, reject_field
from producer.api.reading import ImageReading
from producer.api.service import Shared
from producer.api.stargate.ingesting import forward
from producer.api.stargate.requests import ALIASES, finish_answer, open_image_form, read_method
from producer.api.stargate.shapes import Inscribed
from producer.api.submission import open_upload
from starlight_vocabulary.formats import ImageFormat
from starlight_vocabulary.words import METHODS, Method
from worker.image_reading import MESSAGE_BYTES, HidingError

router = APIRouter()

METHOD_NAMES = (*METHODS, *ALIASES, "auto")

INSCRIPTION_FORM = {
    "required": True,
    "content": {
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "properties": {
                    "image": {"type": "string", "format": "binary"},
                    "message": {"type": "string", "minLength": 1, "maxLength": MESSAGE_BYTES},
                    "method": {
                        "type": "string",
                        "enum": [*METHOD_NAMES, ""],
                        "description": "`lsb` is lsb.rgb, `eoi` raw; `auto` or empty: the usual one for the format.",
                    },
                },
                "required": ["image", "message"],
            }
        }
    },
}


@router.post("/inscribe", openapi_extra={"requestBody": INSCRIPTION_FORM}, responses=document_problems(413))
async def inscribe(request: Request, key: Submitting, service: Shared, reading: ImageReading) -> Inscribed:
    """Hide a message in an image and return the image; its format, metadata and all other bits are unchanged."""
    started = perf_counter()
    async with open_upload(service, key) as upload, open_image_form(request, upload, MESSAGE_BYTES) as form:
        message = _read_message(form.fields)
        wanted = _read_wanted(form.fields.get("method", ""))
        if len(data := await form.read(service)) > service.settings.max_image_bytes:
            raise ProblemError(413, f"the image is larger than {service.settings.max_image_bytes:,} bytes")
        try:
            async with service.reading_turns:
                stego = await run_in_threadpool(reading.hide, data, wanted, message)
        except HidingError as error:
            raise ProblemError(422, str(error)) from error
    name, spelled = _name_output(form.name, stego.format), base64.b64encode(stego.data).decode("ascii")
    inscription = {
        "id": request.state.request_id,
        "filename": name,
        "method": stego.method,
        "message_length": len(message),
        "image_base64": spelled,
        # Stargate shows this while the inscription is pending.
        "metadata": {"embedded_message": message.decode()},
    }
    url = service.settings.stargate_ingest_url
    is_taken = url is not None and await run_in_threadpool(forward, service.settings, url, inscription)
    return Inscribed(
        id=request.state.request_id,
        method=stego.method,
        message_length=len(message),
        output_file=name,
        image_bytes=len(stego.data),
        image_sha256=hashlib.sha256(stego.data).hexdigest(),
        image_base64=spelled,
        status="ingested" if is_taken else "pending_upload",
        note="Stargate has it" if is_taken else "nothing is stored here",
        **finish_answer(request, started),
    )


def _read_message(fields: dict[str, str]) -> bytes:
    try:
        return fields.get("message", "").encode()
    except UnicodeEncodeError as error:
        raise reject_field("message", f"is not valid text: {error.reason}") from error


def _read_wanted(text: str) -> Method | None:
    method = read_method(text)
    if method is None and text.strip().lower() not in ("", "auto"):
        raise reject_field("method", f"must be one of {', '.join(METHOD_NAMES)}")
    return method


def _name_output(name: str, image_format: ImageFormat) -> str:
    """Return the file name of the image, without folders, and with a suffix of its format."""
    plain = PurePath(PurePath(name.replace("\\", "/")).name or "image")
    is_right = plain.suffix.lower() in image_format.suffixes
    return plain.name if is_right else f"{plain.stem}{image_format.suffixes[0]}"
