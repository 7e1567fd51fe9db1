"""The memory that a worker process shares with one of its decoding processes: images in, what became of them out.

Whoever decodes strangers' bytes is not trusted: nothing here is more than bytes, numbers and text.
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
"""Images that are handed over together, at most."""
DETAIL_BYTES: Final = 480
PLANE_NAME_BYTES: Final = 16
PICTURE_BYTES: Final = 2**20
"""What a picture that is made for people may have, at most."""
# What is written over again and again stays; the pages of larger groups go back to the system.
KEPT_BYTES: Final = 8 * 2**20
# What the codes in `DECODED` stand for; 0 stands for none.
CODES: Final = (None, *ErrorCode)

# `current` is the image that is being decoded, `wanted` the bytes that it needs. `sizes`, `methods` and `orders` are
# the images' own; the last two say what to read out of them. `plane` is the bit plane to draw, `near` whether of the
# start alone.
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

# What one image shows: a text of so many bytes, or why there is none.
LOOK: Final = np.dtype([
    ("size", np.int64),
    ("code", np.uint8),
    ("detail", f"S{DETAIL_BYTES}"),
    ("text", np.uint8, LOOK_BYTES),
])  # fmt: skip

# What became of one image: the planes where it `has_planes`, and what is wrong with it where `code` is not 0.
DECODED: Final = np.dtype([
    ("planes", PLANES),
    ("has_planes", np.bool_),
    ("format", "S8"),
    ("code", np.uint8),
    ("detail", f"S{DETAIL_BYTES}"),
])  # fmt: skip

# A picture made for people, of `size` bytes, 0 where there is none.
PICTURE: Final = np.dtype([("size", np.int64), ("bytes", np.uint8, PICTURE_BYTES)])


class SharedMemory:
    """An anonymous file that both processes map: a `REQUEST`, then answers, then the bytes of the images.

    `decoded` are the answers where images are decoded, `payloads` where these are read: their text in UTF-8 and what
    else is known `about` them, each of so many bytes; `about_size` is -1 where nothing was read.
    `look` is the answer where one image is looked at, `picture` where one is made of it.
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
        """Return the size of a memory for so many bytes of images."""
        return align(REQUEST.itemsize) + count_answer_bytes(max_message_bytes) + align(max_bytes)

    def close(self) -> None:
        """Unmap the file, at once unless somebody still looks at an answer: the traceback of an error does."""
        del self.request, self.decoded, self.payloads, self.look, self.picture
        with suppress(BufferError):
            self._map.close()

    def write_images(self, images: Sequence[bytes]) -> None:
        """Lay the bytes of images, one behind the other."""
        at = self._images
        self.request["count"], self.request["current"] = len(images), -1
        self.request["sizes"][: len(images)] = [len(image) for image in images]
        for image in images:
            self._map[at : at + len(image)] = image
            at += len(image)

    def read_images(self) -> Iterator[bytes]:
        """Yield the bytes of each image that was laid."""
        at = self._images
        for size in self.request["sizes"][: self.request["count"]].tolist():
            yield self._map[at : at + size]
            at += size

    def write_payload(self, number: int, payload: Payload | None, body: bytes = b"") -> None:
        """Note the payload of an image, None where it could not be read; of what is no text, the bytes in its place."""
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
        """Return the bytes of a payload that is no text, as far as they were read; of one that is, its UTF-8."""
        row = self.payloads[number]
        return bytes(row["text"][: max(0, int(row["text_size"]))].tobytes()) if row["about_size"] >= 0 else b""

    def write_look(self, text: bytes | None, error: ImageError | None = None) -> None:
        """Note what an image shows, at most `LOOK_BYTES`, or why that is nothing."""
        self.look["code"], self.look["size"] = 0, 0
        if error is not None:
            write_error(self.look, error)
        elif text is not None:
            self.look["text"][: len(text)] = np.frombuffer(text, np.uint8)
            self.look["size"] = len(text)

    def read_look(self) -> bytes:
        """Return what an image shows; raises ImageError."""
        if error := read_error(self.look):
            raise error
        return bytes(self.look["text"][: max(0, int(self.look["size"]))].tobytes())

    def write_picture(self, picture: bytes) -> None:
        """Note a picture, empty where there is none."""
        self.picture["bytes"][: len(picture)] = np.frombuffer(picture, np.uint8)
        self.picture["size"] = len(picture)

    def read_picture(self) -> bytes:
        """Return the picture, empty where there is none."""
        return bytes(self.picture["bytes"][: max(0, int(self.picture["size"]))].tobytes())

    @property
    def room(self) -> int:
        """How many bytes a result may have."""
        return len(self._map) - self._images

    def write_result(self, result: bytes) -> None:
        """Lay what was made of one image in its place; at most `room` bytes."""
        self.request["count"], self.request["sizes"][0] = 1, len(result)
        self._map[self._images : self._images + len(result)] = result

    def read_result(self) -> bytes:
        """Return what was made of one image."""
        return next(self.read_images(), b"")

    def forget_images(self) -> None:
        """Give pages back that are not needed in every group."""
        if self.request["sizes"][: self.request["count"]].sum() > KEPT_BYTES:
            self._map.madvise(mmap.MADV_REMOVE, self._images)


def describe_payload(max_bytes: int) -> "np.dtype[np.void]":
    """Return the type of a payload with a text of so many bytes."""
    return np.dtype([
        ("about_size", np.int64),
        ("text_size", np.int64),
        ("about", np.uint8, ABOUT_BYTES),
        ("text", np.uint8, max_bytes),
    ])  # fmt: skip


def read_payload(row: np.void) -> Payload | None:
    """Return a payload that is there; None where whoever wrote it did not write one."""
    about, text = (row[name][: max(0, int(row[f"{name}_size"]))].tobytes() for name in ("about", "text"))
    return read_payload_text(about, text)


def count_answer_bytes(max_message_bytes: int) -> int:
    """Return the size of the largest answer, in whole pages."""
    payloads = GROUP * describe_payload(max_message_bytes).itemsize
    return align(max(GROUP * DECODED.itemsize, payloads, LOOK.itemsize, PICTURE.itemsize))


def write_error(answer: np.void, error: ImageError) -> None:
    """Note what is wrong with an image."""
    answer["code"] = CODES.index(error.code)
    answer["detail"] = error.detail.encode("utf-8", "replace")[:DETAIL_BYTES]


def read_error(answer: np.void) -> ImageError | None:
    """Return what is wrong with an image, None where nothing is."""
    code = CODES[answer["code"] % len(CODES)]
    return None if code is None else ImageError(code, answer["detail"].decode("utf-8", "replace"))


def align(size: int) -> int:
    """Return the size in whole pages."""
    return -(-size // mmap.PAGESIZE) * mmap.PAGESIZE
