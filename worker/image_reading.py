"""Looking into one image, for whoever asks and scans nothing: what a method would have hidden, all of it, a picture."""

from collections.abc import Iterator
from contextlib import contextmanager

from starlight_vocabulary.inspection import Inspection
from starlight_vocabulary.payload import Payload
from starlight_vocabulary.words import BitOrder, Method
from storage.settings import Settings
from worker.scanning.decoding_pool import HiddenPayload, PlaneChoice, open_decoding_pool
from worker.scanning.hiding import MESSAGE_BYTES as MESSAGE_BYTES
from worker.scanning.hiding import StegoImage as StegoImage
from worker.scanning.image_error import ImageError
from worker.v4.evidence import Evidence
from worker.v4.hiding import HidingError as HidingError

# Orders in which the bits of a method may stand.
ORDERS = dict.fromkeys((Method.PALETTE, Method.LSB_RGB), (BitOrder.LSB_FIRST, BitOrder.MSB_FIRST))

# Beside an image, what hiding a message in it takes: the message, and what the image grows by.
HIDING_BYTES = 2 * MESSAGE_BYTES


class UnseenImageError(Exception):
    """Nothing of the image can be seen; the message says why."""


class ImageReader:
    """Reads images in up to `readers` decoding processes, within the limits that scans have; for many threads."""

    def __init__(self, settings: Settings, readers: int) -> None:
        most = max(MESSAGE_BYTES, settings.max_message_bytes)
        self._decoding = open_decoding_pool(settings, readers, settings.max_image_bytes + HIDING_BYTES, most)

    def close(self) -> None:
        """End the processes; nobody may be reading."""
        self._decoding.stop()

    def read(self, data: bytes, method: Method, bit_order: BitOrder | None = None) -> tuple[Payload | None, bytes]:
        """Return what was read and its bytes, also out of a damaged image; None where there is no image to be seen.

        Of text, the bytes are its UTF-8. Without a bit order, the one that gives text is taken, or else the first.
        """
        found = []
        for order in (bit_order,) if bit_order else ORDERS.get(method, (BitOrder.LSB_FIRST,)):
            payload, body = self._decoding.read_payload(HiddenPayload(data, method, order))
            if payload is not None and payload.text is not None:
                return payload, body
            found.append((payload, body))
        return found[0]

    def hide(self, data: bytes, method: Method | None, message: bytes) -> StegoImage:
        """Return the image with a message hidden in it, by the method that is usual for its format where none is given.

        Raises HidingError, also where the image cannot be seen.
        """
        try:
            return self._decoding.hide(data, method, message)
        except ImageError as error:
            raise HidingError(f"{error.code}: {error.detail}") from error

    def inspect(self, data: bytes) -> Inspection:
        """Return everything that is in an image; raises UnseenImageError where there is none to be seen."""
        with _telling_why():
            return self._decoding.inspect(data)

    def collect_evidence(self, data: bytes, method: Method | None, bit_order: BitOrder | None) -> Evidence:
        """Return what of an image is shown as it is; raises UnseenImageError where there is none to be seen."""
        with _telling_why():
            return self._decoding.collect_evidence(HiddenPayload(data, method, bit_order))

    def make_picture(self, data: bytes, *, thumbnail: bool) -> bytes | None:
        """Return what an image shows as a new WebP file, also of a damaged one; None where nothing can be seen."""
        return self._decoding.make_picture(data, thumbnail=thumbnail)

    def draw_bit_plane(
        self, data: bytes, method: Method | None, bit_order: BitOrder | None, name: str, *, near: bool
    ) -> bytes | None:
        """Return a bit plane as a new PNG file, with what V4 says is hidden marked; None where there is no such plane.

        With `near`, of the image's first columns and rows alone.
        """
        return self._decoding.draw_bit_plane(HiddenPayload(data, method, bit_order), PlaneChoice(name, near))


@contextmanager
def _telling_why() -> Iterator[None]:
    try:
        yield
    except ImageError as error:
        raise UnseenImageError(f"{error.code}: {error.detail}") from error
