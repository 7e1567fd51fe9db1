"""Hiding messages in strangers' images: asked of the process that decodes them, and answered by it."""

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
"""Of a message that is hidden, in UTF-8, at most."""
REASON_BYTES: Final = 480

# What an answer begins with where it says why there is no image; else it is the method's position.
_REFUSED: Final = 255
_SIZE_BYTES: Final = 4


@dataclass(frozen=True, slots=True)
class StegoImage:
    """An image file with a message hidden in it, and how."""

    data: bytes
    method: Method
    format: ImageFormat


def write_question(data: bytes, message: bytes) -> bytes:
    """Return an image and the message to hide in it as one piece; raises HidingError for a message too long."""
    if len(message) > MESSAGE_BYTES:
        raise HidingError(f"the message has {len(message):,} bytes; at most {MESSAGE_BYTES:,} are hidden")
    return len(message).to_bytes(_SIZE_BYTES, "big") + message + data


def answer_question(decoder: Decoder, question: bytes, method: Method | None, room: int) -> bytes:
    """Return the answer, of at most `room` bytes, to what `write_question` wrote; no method: the usual one."""
    start = _SIZE_BYTES + int.from_bytes(question[:_SIZE_BYTES], "big")
    message, data = question[_SIZE_BYTES:start], question[start:]
    try:
        chosen = method or choose_method(data)
        stego = _hide(decoder, data, chosen, message)
    except (HidingError, ImageError) as error:
        reason = str(error) if isinstance(error, HidingError) else f"{error.code}: {error.detail}"
        return write_refusal(reason)
    if len(stego) >= room:
        return write_refusal(f"the image would have {len(stego):,} bytes, which is more than is taken here")
    return bytes([METHODS.index(chosen)]) + stego


def write_refusal(reason: str) -> bytes:
    """Return the answer that there is no image."""
    return bytes([_REFUSED]) + reason.encode("utf-8", "replace")[:REASON_BYTES]


def read_answer(answer: bytes, data: bytes) -> StegoImage:
    """Return the image that a process answers for `data`, of which it is a file of the same format.

    Raises HidingError with the reason where it has none, and ImageError for what is no such answer.
    """
    if answer[:1] == bytes([_REFUSED]):
        raise HidingError(make_storable(answer[1 : 1 + REASON_BYTES].decode("utf-8", "replace")))
    if answer and answer[0] < len(METHODS):
        stego = answer[1:]
        container = survey(stego).container
        if container == survey(data).container != "other":
            return StegoImage(stego, METHODS[answer[0]], ImageFormat.read(container.upper()))
    raise ImageError(ErrorCode.SCAN_FAILED, "its decoder answers what is no image of its format")


def _hide(decoder: Decoder, data: bytes, method: Method, message: bytes) -> bytes:
    with decoder.decode(data) as image:
        expected, stego = hide(image, data, method, message)
    with decoder.decode(stego) as written:
        check_hidden(expected, written, stego, method, message)
    return stego
