"""Hides messages in untrusted images: the question to a decoding process, and its answer."""

from dataclasses import dataclass
from typing import Final

from starlight_vocabulary.formats import ImageFormat
from starlight_vocabulary.words import METHODS, ErrorCode, Method
from worker.scanning.chunk_scan import make_storable
from worker.scanning.decoding import Decoder
from worker.scanning.image_error import ImageError
from worker.v4.containers import survey
from worker.v4.hiding import HidingError, check_hidden, choose_method, hide

MESSAGE_BYTES: Final = 2**20
"""The maximum size of a message to hide, in UTF-8."""
REASON_BYTES: Final = 480

# The first byte of an answer without an image; otherwise it is the method's index.
_REFUSED: Final = 255
_SIZE_BYTES: Final = 4


@dataclass(frozen=True, slots=True)
class StegoImage:
    """An image file with a message hidden in it, and the method."""

    data: bytes
    method: Method
    format: ImageFormat


def write_question(data: bytes, message: bytes) -> bytes:
    """Return an image and the message to hide in it as one block of bytes; raises HidingError if that is too long."""
    if len(message) > MESSAGE_BYTES:
        raise HidingError(f"the message has {len(message):,} bytes; the limit is {MESSAGE_BYTES:,}")
    return len(message).to_bytes(_SIZE_BYTES, "big") + message + data


def answer_question(decoder: Decoder, question: bytes, method: Method | None, room: int) -> bytes:
    """Return the answer to a question, at most `room` bytes long; without a method, the usual one is used."""
    start = _SIZE_BYTES + int.from_bytes(question[:_SIZE_BYTES], "big")
    message, data = question[_SIZE_BYTES:start], question[start:]
    try:
        chosen = method or choose_method(data)
        stego = _hide(decoder, data, chosen, message)
    except (HidingError, ImageError) as error:
        reason = str(error) if isinstance(error, HidingError) else f"{error.code}: {error.detail}"
        return write_refusal(reason)
    if len(stego) >= room:
        return write_refusal(f"the result would have {len(stego):,} bytes; the limit is {room - 1:,}")
    return bytes([METHODS.index(chosen)]) + stego


def write_refusal(reason: str) -> bytes:
    """Return an answer without an image."""
    return bytes([_REFUSED]) + reason.encode("utf-8", "replace")[:REASON_BYTES]


def read_answer(answer: bytes, data: bytes) -> StegoImage:
    """Return the image in an answer; it must be a file of the same format as `data`.

    Raises HidingError with the reason if the answer has no image, and ImageError if the answer is invalid.
    """
    if answer[:1] == bytes([_REFUSED]):
        raise HidingError(make_storable(answer[1 : 1 + REASON_BYTES].decode("utf-8", "replace")))
    if answer and answer[0] < len(METHODS):
        stego = answer[1:]
        container = survey(stego).container
        if container == survey(data).container != "other":
            return StegoImage(stego, METHODS[answer[0]], ImageFormat.read(container.upper()))
    raise ImageError(ErrorCode.SCAN_FAILED, "its decoder returned no image of its format")


def _hide(decoder: Decoder, data: bytes, method: Method, message: bytes) -> bytes:
    with decoder.decode(data) as image:
        expected, stego = hide(image, data, method, message)
    with decoder.decode(stego) as written:
        check_hidden(expected, written, stego, method, message)
    return stego
