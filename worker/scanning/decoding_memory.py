"""The memory that a worker process shares with one of its decoding processes: images in, what became of them out.

Whoever decodes strangers' bytes is not trusted: nothing here is more than bytes, numbers and text.
"""

import mmap
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Final

import numpy as np

from starlight_vocabulary.words import ErrorCode
from worker.scanning.image_error import ImageError
from worker.v4.extraction import ExtractedMessage
from worker.v4.planes import PLANES

GROUP: Final = 64
"""Images that are handed over together, at most."""
DETAIL_BYTES: Final = 480
DESCRIPTION_BYTES: Final = 256
# What is written over again and again stays; the pages of larger groups go back to the system.
KEPT_BYTES: Final = 8 * 2**20
# What the codes in `DECODED` stand for; 0 stands for none.
CODES: Final = (None, *ErrorCode)

# `current` is the image that is being decoded, `wanted` the bytes that it needs. `sizes`, `methods` and `orders` are
# the images' own; the last two say what to read out of them.
REQUEST: Final = np.dtype([
    ("count", np.int64),
    ("current", np.int64),
    ("wanted", np.int64),
    ("sizes", np.int64, GROUP),
    ("methods", np.uint8, GROUP),
    ("orders", np.uint8, GROUP),
])  # fmt: skip

# What became of one image: the planes where it `has_planes`, and what is wrong with it where `code` is not 0.
DECODED: Final = np.dtype([
    ("planes", PLANES),
    ("has_planes", np.bool_),
    ("format", "S8"),
    ("code", np.uint8),
    ("detail", f"S{DETAIL_BYTES}"),
])  # fmt: skip


class SharedMemory:
    """An anonymous file that both processes map: a `REQUEST`, then answers, then the bytes of the images.

    `decoded` are the answers where images are decoded, `messages` where messages are read: texts in UTF-8 of which
    `size` bytes count, -1 where there is none, and what they are.
    """

    def __init__(self, descriptor: int, size: int, max_message_bytes: int) -> None:
        self._map = mmap.mmap(descriptor, size)
        message = describe_message(max_message_bytes)
        self.request = np.frombuffer(self._map, REQUEST, 1)[0]
        start = align(REQUEST.itemsize)
        self.decoded = np.frombuffer(self._map, DECODED, GROUP, start)
        self.messages = np.frombuffer(self._map, message, GROUP, start)
        self._images = start + align(GROUP * max(DECODED.itemsize, message.itemsize))

    @staticmethod
    def count_bytes(max_bytes: int, max_message_bytes: int) -> int:
        """Return the size of a memory for so many bytes of images."""
        answer = max(DECODED.itemsize, describe_message(max_message_bytes).itemsize)
        return align(REQUEST.itemsize) + align(GROUP * answer) + align(max_bytes)

    def close(self) -> None:
        """Unmap the file, at once unless somebody still looks at an answer: the traceback of an error does."""
        del self.request, self.decoded, self.messages
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

    def write_message(self, number: int, message: ExtractedMessage | None) -> None:
        """Note the message in an image, None where there is none."""
        row = self.messages[number]
        row["size"] = -1
        if message is not None:
            text = message.text.encode("utf-8", "replace")[: len(row["text"])]
            row["text"][: len(text)] = np.frombuffer(text, np.uint8)
            row["size"], row["is_text"], row["payload_bytes"] = len(text), message.is_text, message.payload_bytes

    def read_messages(self, count: int) -> list[ExtractedMessage | None]:
        """Return the messages in the first images."""
        return [None if row["size"] < 0 else read_message(row) for row in self.messages[:count]]

    def forget_images(self) -> None:
        """Give pages back that are not needed in every group."""
        if self.request["sizes"][: self.request["count"]].sum() > KEPT_BYTES:
            self._map.madvise(mmap.MADV_REMOVE, self._images)


def describe_message(max_bytes: int) -> "np.dtype[np.void]":
    """Return the type of a message of so many bytes, or of a description of bytes that are no text."""
    return np.dtype([
        ("size", np.int64),
        ("is_text", np.bool_),
        ("payload_bytes", np.int64),
        ("text", np.uint8, max(max_bytes, DESCRIPTION_BYTES)),
    ])  # fmt: skip


def read_message(row: np.void) -> ExtractedMessage:
    """Return a message that is there."""
    text = row["text"][: row["size"]].tobytes().decode("utf-8", "replace")
    return ExtractedMessage(text, bool(row["is_text"]), int(row["payload_bytes"]))


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
