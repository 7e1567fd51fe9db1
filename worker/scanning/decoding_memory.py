"""The memory that a worker process shares with one of its decoding processes: images in, results out.

A process that decodes untrusted bytes is itself not trusted, so the memory holds only bytes, numbers and text.
"""

import mmap
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Final

import numpy as np

from starlight_vocabulary.payload import Payload
from starlight_vocabulary.words import ErrorCode
from worker.scanning.image_error import ImageError
from worker.scanning.looks import LOOK_BYTES
from worker.scanning.payload_text import ABOUT_BYTES, read_payload_text, write_payload_text
from worker.v4.planes import PLANES

GROUP: Final = 64
"""The most images that are handed over together."""
DETAIL_BYTES: Final = 480
PLANE_NAME_BYTES: Final = 16
PICTURE_BYTES: Final = 2**20
"""The maximum size of a picture that is made for people."""
# Pages of groups up to this size are kept for reuse; those of larger groups are returned to the system.
KEPT_BYTES: Final = 8 * 2**20
# The meanings of the codes in `DECODED`; 0 is no error.
CODES: Final = (None, *ErrorCode)

# `current` is the image being decoded, `wanted` the bytes that it needs. `sizes`, `methods` and `orders` have one entry
# per image; `methods` and `orders` say which payload to read. `plane` is the bit plane to draw; with `near`, only the
# start of the image is drawn.
REQUEST: Final = np.dtype([
    ("count", np.int64),
    ("current", np.int64),
    ("wanted", np.int64),
    ("sizes", np.int64, GROUP),
    ("methods", np.uint8, GROUP),
    ("orders", np.uint8, GROUP),
    ("plane", f"S{PLANE_NAME_BYTES}"),
    ("near", np.bool_),
])  # fmt: skip

# What one image contains: a text of `size` bytes, or the error.
LOOK: Final = np.dtype([
    ("size", np.int64),
    ("code", np.uint8),
    ("detail", f"S{DETAIL_BYTES}"),
    ("text", np.uint8, LOOK_BYTES),
])  # fmt: skip

# The result of decoding one image: planes if `has_planes`, an error if `code` is not 0.
DECODED: Final = np.dtype([
    ("planes", PLANES),
    ("has_planes", np.bool_),
    ("format", "S8"),
    ("code", np.uint8),
    ("detail", f"S{DETAIL_BYTES}"),
])  # fmt: skip

# A picture made for people; `size` in bytes, 0 if there is none.
PICTURE: Final = np.dtype([("size", np.int64), ("bytes", np.uint8, PICTURE_BYTES)])


class SharedMemory:
    """An anonymous file that both processes map: a `REQUEST`, then the answers, then the bytes of the images.

    The answers have one of four layouts: `decoded` if images were decoded; `payloads` if payloads were read, each a
    text in UTF-8 and JSON `about` it (`about_size` is -1 if nothing was read); `look` if an image was inspected or
    drawn; `picture` if a picture was made of it.
    """

    def __init__(self, descriptor: int, size: int, max_message_bytes: int) -> None:
        self._map = mmap.mmap(descriptor, size)
        payload = describe_payload(max_message_bytes)
        self.request = np.frombuffer(self._map, REQUEST, 1)[0]
        start = align(REQUEST.itemsize)
        self.decoded = np.frombuffer(self._map, DECODED, GROUP, start)
        self.payloads = np.frombuffer(self._map, payload, GROUP, start)
        self.look = np.frombuffer(self._map, LOOK, 1, start)[0]
        self.picture = np.frombuffer(self._map, PICTURE, 1, start)[0]
        self._images = start + count_answer_bytes(max_message_bytes)

    @staticmethod
    def count_bytes(max_bytes: int, max_message_bytes: int) -> int:
        """Return the size in bytes of a memory for `max_bytes` bytes of images."""
        return align(REQUEST.itemsize) + count_answer_bytes(max_message_bytes) + align(max_bytes)

    def close(self) -> None:
        """Unmap the file, or leave that to garbage collection if an answer is still referenced, as by a traceback."""
        del self.request, self.decoded, self.payloads, self.look, self.picture
        with suppress(BufferError):
            self._map.close()

    def write_images(self, images: Sequence[bytes]) -> None:
        """Write the bytes of the images, one after the other."""
        at = self._images
        self.request["count"], self.request["current"] = len(images), -1
        self.request["sizes"][: len(images)] = [len(image) for image in images]
        for image in images:
            self._map[at : at + len(image)] = image
            at += len(image)

    def read_images(self) -> Iterator[bytes]:
        """Yield the bytes of each image that was written."""
        at = self._images
        for size in self.request["sizes"][: self.request["count"]].tolist():
            yield self._map[at : at + size]
            at += size

    def write_payload(self, number: int, payload: Payload | None, body: bytes = b"") -> None:
        """Write the payload of an image, None if it could not be read; `body` replaces the text if it is not text."""
        row = self.payloads[number]
        row["about_size"] = -1
        if payload is not None:
            about, text = write_payload_text(payload)
            for name, value in (("about", about), ("text", body if payload.text is None else text)):
                kept = value[: len(row[name])]
                row[name][: len(kept)] = np.frombuffer(kept, np.uint8)
                row[f"{name}_size"] = len(kept)

    def read_payloads(self, count: int) -> list[Payload | None]:
        """Return the payloads of the first images."""
        return [None if row["about_size"] < 0 else read_payload(row) for row in self.payloads[:count]]

    def read_body(self, number: int) -> bytes:
        """Return the bytes of a payload, as far as they were read; of a text, its UTF-8."""
        row = self.payloads[number]
        return bytes(row["text"][: max(0, int(row["text_size"]))].tobytes()) if row["about_size"] >= 0 else b""

    def write_look(self, text: bytes | None, error: ImageError | None = None) -> None:
        """Write a text about an image, at most `LOOK_BYTES` long, or the error."""
        self.look["code"], self.look["size"] = 0, 0
        if error is not None:
            write_error(self.look, error)
        elif text is not None:
            self.look["text"][: len(text)] = np.frombuffer(text, np.uint8)
            self.look["size"] = len(text)

    def read_look(self) -> bytes:
        """Return the text about an image; raises ImageError."""
        if error := read_error(self.look):
            raise error
        return bytes(self.look["text"][: max(0, int(self.look["size"]))].tobytes())

    def write_picture(self, picture: bytes) -> None:
        """Write a picture, empty if there is none."""
        self.picture["bytes"][: len(picture)] = np.frombuffer(picture, np.uint8)
        self.picture["size"] = len(picture)

    def read_picture(self) -> bytes:
        """Return the picture, empty if there is none."""
        return bytes(self.picture["bytes"][: max(0, int(self.picture["size"]))].tobytes())

    @property
    def room(self) -> int:
        """The maximum size of a result in bytes."""
        return len(self._map) - self._images

    def write_result(self, result: bytes) -> None:
        """Write a result of at most `room` bytes in place of the image."""
        self.request["count"], self.request["sizes"][0] = 1, len(result)
        self._map[self._images : self._images + len(result)] = result

    def read_result(self) -> bytes:
        """Return the result that replaced the image."""
        return next(self.read_images(), b"")

    def forget_images(self) -> None:
        """Return the pages of a large group to the system."""
        if self.request["sizes"][: self.request["count"]].sum() > KEPT_BYTES:
            self._map.madvise(mmap.MADV_REMOVE, self._images)


def describe_payload(max_bytes: int) -> "np.dtype[np.void]":
    """Return the type of a payload with a text of up to `max_bytes` bytes."""
    return np.dtype([
        ("about_size", np.int64),
        ("text_size", np.int64),
        ("about", np.uint8, ABOUT_BYTES),
        ("text", np.uint8, max_bytes),
    ])  # fmt: skip


def read_payload(row: np.void) -> Payload | None:
    """Return the payload in this row; None if the bytes are not a valid payload."""
    about, text = (row[name][: max(0, int(row[f"{name}_size"]))].tobytes() for name in ("about", "text"))
    return read_payload_text(about, text)


def count_answer_bytes(max_message_bytes: int) -> int:
    """Return the size in bytes of the largest answer, in whole pages."""
    payloads = GROUP * describe_payload(max_message_bytes).itemsize
    return align(max(GROUP * DECODED.itemsize, payloads, LOOK.itemsize, PICTURE.itemsize))


def write_error(answer: np.void, error: ImageError) -> None:
    """Write the error of an image."""
    answer["code"] = CODES.index(error.code)
    answer["detail"] = error.detail.encode("utf-8", "replace")[:DETAIL_BYTES]


def read_error(answer: np.void) -> ImageError | None:
    """Return the error of an image, or None."""
    code = CODES[answer["code"] % len(CODES)]
    return None if code is None else ImageError(code, answer["detail"].decode("utf-8", "replace"))


def align(size: int) -> int:
    """Return the size rounded up to whole pages."""
    return -(-size // mmap.PAGESIZE) * mmap.PAGESIZE
