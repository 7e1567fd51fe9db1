"""Reads single images outside of scans: hidden payloads, inspections, evidence and pictures; also hides messages."""

from collections.abc import Iterator
from contextlib import contextmanager

from starlight_vocabulary.inspection import Inspection
from starlight_vocabulary.payload import Payload
from starlight_vocabulary.words import BitOrder, Method
from storage.settings import Settings
from worker.scanning.decoding_client import HiddenPayload, PlaneChoice
from worker.scanning.decoding_pool import open_decoding_pool
from worker.scanning.hiding import MESSAGE_BYTES as MESSAGE_BYTES
from worker.scanning.hiding import StegoImage as StegoImage
from worker.scanning.image_error import ImageError
from worker.v4.evidence import Evidence
from worker.v4.hiding import HidingError as HidingError

# The possible bit orders of a method.
ORDERS = dict.fromkeys((Method.PALETTE, Method.LSB_RGB), (BitOrder.LSB_FIRST, BitOrder.MSB_FIRST))

# What hiding needs beyond the size of the image: the message, and the growth of the image.
HIDING_BYTES = 2 * MESSAGE_BYTES


class UnseenImageError(Exception):
    """No part of the image can be decoded; the message says why."""


class ImageReader:
    """Reads images in up to `readers` decoding processes, with the limits of scans. Thread-safe."""

    def __init__(self, settings: Settings, readers: int) -> None:
        most = max(MESSAGE_BYTES, settings.max_message_bytes)
        self._decoding = open_decoding_pool(settings, readers, settings.max_image_bytes + HIDING_BYTES, most)

    def close(self) -> None:
        """End the processes; no read may be in progress."""
        self._decoding.stop()

    def read(self, data: bytes, method: Method, bit_order: BitOrder | None = None) -> tuple[Payload | None, bytes]:
        """Return the payload and its bytes, also from a damaged image; the payload is None if nothing can be decoded.

        The bytes of a text are its UTF-8. Without a bit order, the order that yields text is used, else the first.
        """
        found = []
        for order in (bit_order,) if bit_order else ORDERS.get(method, (BitOrder.LSB_FIRST,)):
            payload, body = self._decoding.read_payload(HiddenPayload(data, method, order))
            if payload is not None and payload.text is not None:
                return payload, body
            found.append((payload, body))
        return found[0]

    def hide(self, data: bytes, method: Method | None, message: bytes) -> StegoImage:
        """Return the image with a message hidden in it; without a method, the usual one for the format is used.

        Raises HidingError, also if the image cannot be decoded.
        """
        try:
            return self._decoding.hide(data, method, message)
        except ImageError as error:
            raise HidingError(f"{error.code}: {error.detail}") from error

    def inspect(self, data: bytes) -> Inspection:
        """Return everything that is in an image; raises UnseenImageError if it cannot be decoded."""
        with _raising_unseen():
            return self._decoding.inspect(data)

    def collect_evidence(self, data: bytes, method: Method | None, bit_order: BitOrder | None) -> Evidence:
        """Return the raw evidence in an image; raises UnseenImageError if it cannot be decoded."""
        with _raising_unseen():
            return self._decoding.collect_evidence(HiddenPayload(data, method, bit_order))

    def make_picture(self, data: bytes, *, thumbnail: bool) -> bytes | None:
        """Return the picture as a new WebP file, also of a damaged image; None if nothing can be decoded."""
        return self._decoding.make_picture(data, thumbnail=thumbnail)

    def draw_bit_plane(
        self, data: bytes, method: Method | None, bit_order: BitOrder | None, name: str, *, near: bool
    ) -> bytes | None:
        """Return a bit plane as a new PNG file, with the hidden bits that V4 reports marked; None if it does not exist.

        With `near`, only the first columns and rows of the image are drawn.
        """
        return self._decoding.draw_bit_plane(HiddenPayload(data, method, bit_order), PlaneChoice(name, near))


@contextmanager
def _raising_unseen() -> Iterator[None]:
    try:
        yield
    except ImageError as error:
        raise UnseenImageError(f"{error.code}: {error.detail}") from error
