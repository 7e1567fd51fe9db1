"""Decodes images in separate processes, so that an image that crashes or exhausts its decoder affects no other.

Each process has its own core and interpreter, and shares memory with this one.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from starlight_vocabulary.inspection import Inspection
from starlight_vocabulary.payload import Payload
from starlight_vocabulary.words import ErrorCode, Method
from storage.settings import Settings
from worker.scanning import decoding_process
from worker.scanning.budget import Budget
from worker.scanning.decoding_client import DecodingClient, HiddenPayload, PlaneChoice
from worker.scanning.decoding_memory import SharedMemory, read_error
from worker.scanning.decoding_process import (
    COLLECT_EVIDENCE,
    DECODE,
    DRAW,
    DRAW_PLANE,
    HIDE,
    INSPECT,
    MAKE_PICTURE,
    MAKE_THUMBNAIL,
    READ_PAYLOADS,
    DecodingLimits,
)
from worker.scanning.fair_semaphore import FairSemaphore
from worker.scanning.hiding import StegoImage, read_answer, write_question
from worker.scanning.image_error import ImageError
from worker.scanning.looks import read_evidence, read_inspection, read_planes
from worker.v4.containers import PNG_SIGNATURE
from worker.v4.evidence import Evidence
from worker.v4.planes import PLANES, PlaneArray

# After this many processes in a row that ended before their first image, the images are not to blame.
MAX_FAILED_STARTS = 3
# Pictures must start with these bytes: a compromised decoder could return anything.
WEBP_START = b"RIFF"

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class DecodedImages:
    """The results of N images, in order: planes, formats, and errors if any.

    A damaged image may have both planes and an error. The planes of an image without `has_planes` are undefined.
    """

    planes: PlaneArray
    has_planes: list[bool]
    formats: list[str]
    errors: list[ImageError | None]


class DecodingPool:
    """Up to `size` decoding processes, started on demand, which threads take in turn.

    `max_bytes` is the maximum total size of the images of one group; large pictures share `budget`.
    """

    def __init__(
        self, size: int, limits: DecodingLimits, max_bytes: int, budget: Budget, module: str = decoding_process.__name__
    ) -> None:
        self._module = module
        self._limits = limits
        self._max_bytes = max_bytes
        self._budget = budget
        self._free_processes = FairSemaphore(size)
        self._idle: deque[DecodingClient] = deque()

    def stop(self) -> None:
        """End the processes; none may be in use."""
        while self._idle:
            self._idle.pop().close()

    def decode(self, images: Sequence[bytes], *, at_once: bool = False) -> DecodedImages:
        """Decode up to `GROUP` images; with `at_once`, before all waiting groups without it.

        Raises RuntimeError if no decoding process can be started.
        """
        count = len(images)
        found = DecodedImages(np.empty(count, PLANES), [False] * count, [""] * count, [None] * count)

        def take(answers: SharedMemory, done: slice) -> None:
            rows = answers.decoded[: done.stop - done.start]
            found.planes[done] = rows["planes"]
            found.has_planes[done] = rows["has_planes"].tolist()
            found.formats[done] = [name.decode("ascii", "replace") for name in rows["format"].tolist()]
            # Most images have no error, and checking each row in Python would take as long as all the rest here.
            for number in np.flatnonzero(rows["code"]).tolist():
                found.errors[done.start + number] = read_error(rows[number])

        def refuse(number: int, error: ImageError) -> None:
            found.errors[number] = error

        self._request(DECODE, images, take, refuse, at_once=at_once)
        return found

    def read_payloads(self, hidden: Sequence[HiddenPayload], *, at_once: bool = False) -> list[Payload | None]:
        """Return the payloads of up to `GROUP` images, None where none can be read. Waits and raises as `decode`."""
        payloads: list[Payload | None] = [None] * len(hidden)

        def take(answers: SharedMemory, done: slice) -> None:
            payloads[done] = answers.read_payloads(done.stop - done.start)

        data = [each.data for each in hidden]
        self._request(READ_PAYLOADS, data, take, lambda *_: None, hidden, at_once=at_once)
        return payloads

    def read_payload(self, hidden: HiddenPayload) -> tuple[Payload | None, bytes]:
        """Return the payload of an image, and its bytes as far as they were read. Raises as `decode` does."""
        try:
            return self._read_one(
                READ_PAYLOADS,
                hidden.data,
                lambda answers: (answers.read_payloads(1)[0], answers.read_body(0)),
                [hidden],
            )
        except ImageError:
            return None, b""

    def inspect(self, data: bytes) -> Inspection:
        """Return everything that is in a file. Raises ImageError, and as `decode` does."""
        return read_inspection(self._read_one(INSPECT, data, SharedMemory.read_look))

    def draw_bit_planes(self, data: bytes) -> dict[str, bytes]:
        """Return PNGs of the two lowest bits of each channel, by name. Raises ImageError, and as `decode` does."""
        return read_planes(self._read_one(DRAW, data, SharedMemory.read_look))

    def collect_evidence(self, hidden: HiddenPayload) -> Evidence:
        """Return the raw evidence in a file. Raises ImageError, and as `decode` does."""
        return read_evidence(self._read_one(COLLECT_EVIDENCE, hidden.data, SharedMemory.read_look, [hidden]))

    def make_picture(self, data: bytes, *, thumbnail: bool) -> bytes | None:
        """Return the picture as a new WebP file, None if it cannot be decoded. Raises as `decode` does."""
        return self._take_picture(MAKE_THUMBNAIL if thumbnail else MAKE_PICTURE, data, WEBP_START)

    def draw_bit_plane(self, hidden: HiddenPayload, plane: PlaneChoice) -> bytes | None:
        """Return a PNG of a bit plane with the payload marked, None if it does not exist. Raises as `decode` does."""
        return self._take_picture(DRAW_PLANE, hidden.data, PNG_SIGNATURE, [hidden], plane)

    def hide(self, data: bytes, method: Method | None, message: bytes) -> StegoImage:
        """Return the image with a message hidden in it; without a method, the usual one for the format is used.

        Raises HidingError if that is impossible, ImageError if the image ends its decoder, and as `decode` does.
        """
        question = write_question(data, message)
        asked = HiddenPayload(question, method, None)
        return read_answer(self._read_one(HIDE, question, SharedMemory.read_result, [asked]), data)

    def _take_picture(
        self,
        asked: bytes,
        data: bytes,
        start: bytes,
        hidden: Sequence[HiddenPayload] = (),
        plane: PlaneChoice | None = None,
    ) -> bytes | None:
        try:
            picture = self._read_one(asked, data, SharedMemory.read_picture, hidden, plane)
        except ImageError:
            return None
        return picture if picture.startswith(start) else None

    def _read_one(
        self,
        asked: bytes,
        data: bytes,
        read: Callable[[SharedMemory], Result],
        hidden: Sequence[HiddenPayload] = (),
        plane: PlaneChoice | None = None,
    ) -> Result:
        """Process one image and return its answer; raises what `read` does, and ImageError if it ends its decoder."""
        results: list[Result] = []
        errors: list[ImageError] = []

        def take(answers: SharedMemory, done: slice) -> None:
            if done.start < done.stop:
                # Raising here would end the process, though it has done its work.
                try:
                    results.append(read(answers))
                except ImageError as error:
                    errors.append(error)

        self._request(asked, [data], take, lambda _, error: errors.append(error), hidden, plane)
        if errors:
            raise errors[0]
        return results[0]

    def _request(
        self,
        asked: bytes,
        images: Sequence[bytes],
        take: Callable[[SharedMemory, slice], None],
        refuse: Callable[[int, ImageError], None],
        hidden: Sequence[HiddenPayload] = (),
        plane: PlaneChoice | None = None,
        *,
        at_once: bool = False,
    ) -> None:
        """Process all images: call `take` for finished ones, and `refuse` for those that end their decoder."""
        start, suspect, failed_starts = 0, -1, 0
        while start < len(images):
            # An image whose decoder ended once may not be the cause, so it is tried again, alone.
            stop = start + 1 if start == suspect else len(images)
            with self._lend(at_once=at_once) as process:
                ended = process.work(asked, images[start:stop], hidden[start:stop], self._budget, plane)
                done = slice(start, stop if ended is None else start + max(0, ended.current))
                take(process.memory, done)
                if ended is None:
                    process.memory.forget_images()
            start = done.stop
            if ended is None:
                continue
            if ended.current < 0:
                failed_starts += 1
                if failed_starts == MAX_FAILED_STARTS:
                    raise RuntimeError(f"decoding processes end before their first image: {ended.reason}")
            elif ended.was_slow:
                limit_s = self._limits.max_seconds
                refuse(start, ImageError(ErrorCode.TOO_SLOW, f"decoding takes more than {limit_s:g} s"))
                start += 1
            elif start == suspect:
                refuse(start, ImageError(ErrorCode.DECODER_CRASH, f"its decoder ended twice: {ended.reason}"))
                start += 1
            else:
                suspect = start

    @contextmanager
    def _lend(self, *, at_once: bool) -> Iterator[DecodingClient]:
        with self._free_processes.take(at_once=at_once):
            process = self._idle.pop() if self._idle else DecodingClient(self._module, self._limits, self._max_bytes)
            try:
                yield process
            except BaseException:
                process.close()
                raise
            if process.is_alive():
                self._idle.append(process)
            else:
                process.close()


def open_decoding_pool(
    settings: Settings, size: int, max_bytes: int, max_message_bytes: int | None = None
) -> DecodingPool:
    """Return a pool with the limits of the settings; `max_bytes` is the maximum total size of one group of images.

    `max_message_bytes` overrides the setting of that name.
    """
    limits = DecodingLimits(
        max_pixels=settings.max_image_pixels,
        max_seconds=settings.max_decode_seconds,
        max_bytes=settings.max_decode_bytes,
        max_message_bytes=max_message_bytes or settings.max_message_bytes,
    )
    return DecodingPool(size, limits, max_bytes, Budget(settings.decode_budget_bytes))
