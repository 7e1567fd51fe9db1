"""Decodes images in separate processes, so that an image that crashes or exhausts its decoder affects no other.

Each process has its own core and interpreter, and shares memory with this one.
"""

import json
import os
import signal
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass

import numpy as np

from starlight_vocabulary.inspection import Inspection
from starlight_vocabulary.payload import Payload
from starlight_vocabulary.words import BIT_ORDERS, METHODS, BitOrder, ErrorCode, Method
from storage.logs import find_style
from storage.settings import Settings
from worker.scanning import decoding_process
from worker.scanning.budget import Budget
from worker.scanning.decoding_memory import SharedMemory, read_error
from worker.scanning.decoding_process import (
    COLLECT_EVIDENCE,
    DECODE,
    DONE,
    DRAW,
    DRAW_PLANE,
    HIDE,
    INSPECT,
    MAKE_PICTURE,
    MAKE_THUMBNAIL,
    NEEDS_MEMORY,
    READ_PAYLOADS,
    Limits,
)
from worker.scanning.hiding import StegoImage, read_answer, write_question
from worker.scanning.image_error import ImageError
from worker.scanning.looks import read_evidence, read_inspection, read_planes
from worker.scanning.turns import Turns
from worker.v4.evidence import Evidence
from worker.v4.planes import PLANES, PlaneArray

# After this many processes in a row that ended before their first image, the images are not to blame.
MAX_FAILED_STARTS = 3
# Prefixes of environment variables that a decoding process does not get: it handles untrusted bytes, and does not need
# the secrets in them.
WITHHELD = ("STARLIGHT_", "AWS_")
EXIT_S = 5.0
# Pictures must start with these bytes: a compromised decoder could return anything.
WEBP_START, PNG_START = b"RIFF", b"\x89PNG\r\n\x1a\n"
# Makes glibc keep the memory of a picture for the next one; unmapping and mapping it again takes 85 us.
MEMORY_KEPT = {"MALLOC_MMAP_THRESHOLD_": str(16 * 2**20), "MALLOC_TRIM_THRESHOLD_": str(64 * 2**20)}


@dataclass(frozen=True, slots=True)
class ProcessEnded:
    """How a decoding process ended: the images before `current` are done; -1 if it had not started any."""

    current: int
    status: int

    @property
    def was_slow(self) -> bool:
        """Whether an image exceeded its processor time."""
        return self.status == -signal.SIGPROF

    @property
    def reason(self) -> str:
        """The signal or exit status."""
        return signal.Signals(-self.status).name if self.status < 0 else f"status {self.status}"


@dataclass(frozen=True, slots=True)
class DecodedImages:
    """The results of N images, in order: planes, formats, and errors if any.

    A damaged image may have both planes and an error. The planes of an image without `has_planes` are undefined.
    """

    planes: PlaneArray
    has_planes: list[bool]
    formats: list[str]
    errors: list[ImageError | None]


@dataclass(frozen=True, slots=True)
class HiddenPayload:
    """The bytes of an image, and the method and bit order of its payload according to V4; None if there is none."""

    data: bytes
    method: Method | None
    bit_order: BitOrder | None


@dataclass(frozen=True, slots=True)
class PlaneChoice:
    """The name of a bit plane, such as `r-bit-0`; with `near`, only the start of the image is drawn."""

    name: str
    near: bool


class DecodingPool:
    """Up to `size` decoding processes, started on demand, which threads take in turn.

    `max_bytes` is the maximum total size of the images of one group; large pictures share `budget`.
    """

    def __init__(
        self, size: int, limits: Limits, max_bytes: int, budget: Budget, module: str = decoding_process.__name__
    ) -> None:
        self._module = module
        self._limits = limits
        self._max_bytes = max_bytes
        self._budget = budget
        self._turns = Turns(size)
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
        found: list[tuple[Payload | None, bytes]] = []

        def take(answers: SharedMemory, done: slice) -> None:
            if done.start < done.stop:
                found.append((answers.read_payloads(1)[0], answers.read_body(0)))

        self._request(READ_PAYLOADS, [hidden.data], take, lambda *_: None, [hidden])
        return found[0] if found else (None, b"")

    def inspect(self, data: bytes) -> Inspection:
        """Return everything that is in a file. Raises ImageError, and as `decode` does."""
        return read_inspection(self._look_at(INSPECT, data))

    def draw_bit_planes(self, data: bytes) -> dict[str, bytes]:
        """Return PNGs of the two lowest bits of each channel, by name. Raises ImageError, and as `decode` does."""
        return read_planes(self._look_at(DRAW, data))

    def collect_evidence(self, hidden: HiddenPayload) -> Evidence:
        """Return the raw evidence in a file. Raises ImageError, and as `decode` does."""
        return read_evidence(self._look_at(COLLECT_EVIDENCE, hidden.data, [hidden]))

    def _look_at(self, asked: bytes, data: bytes, hidden: Sequence[HiddenPayload] = ()) -> bytes:
        looks: list[bytes] = []
        errors: list[ImageError] = []

        def take(answers: SharedMemory, done: slice) -> None:
            if done.stop > done.start:
                # Raising here would end the process, though it has done its work.
                try:
                    looks.append(answers.read_look())
                except ImageError as error:
                    errors.append(error)

        self._request(asked, [data], take, lambda _, error: errors.append(error), hidden)
        if errors:
            raise errors[0]
        return looks[0]

    def make_picture(self, data: bytes, *, thumbnail: bool) -> bytes | None:
        """Return the picture as a new WebP file, None if it cannot be decoded. Raises as `decode` does."""
        return self._take_picture(MAKE_THUMBNAIL if thumbnail else MAKE_PICTURE, data, WEBP_START)

    def draw_bit_plane(self, hidden: HiddenPayload, plane: PlaneChoice) -> bytes | None:
        """Return a PNG of a bit plane with the payload marked, None if it does not exist. Raises as `decode` does."""
        return self._take_picture(DRAW_PLANE, hidden.data, PNG_START, [hidden], plane)

    def hide(self, data: bytes, method: Method | None, message: bytes) -> StegoImage:
        """Return the image with a message hidden in it; without a method, the usual one for the format is used.

        Raises HidingError if that is impossible, ImageError if the image ends its decoder, and as `decode` does.
        """
        answers: list[bytes] = []
        errors: list[ImageError] = []

        def take(memory: SharedMemory, done: slice) -> None:
            if done.start < done.stop:
                answers.append(memory.read_result())

        question = write_question(data, message)
        asked = HiddenPayload(question, method, None)
        self._request(HIDE, [question], take, lambda _, error: errors.append(error), [asked])
        if errors:
            raise errors[0]
        return read_answer(answers[0], data)

    def _take_picture(
        self,
        asked: bytes,
        data: bytes,
        start: bytes,
        hidden: Sequence[HiddenPayload] = (),
        plane: PlaneChoice | None = None,
    ) -> bytes | None:
        pictures: list[bytes] = []

        def take(answers: SharedMemory, done: slice) -> None:
            if done.start < done.stop:
                pictures.append(answers.read_picture())

        self._request(asked, [data], take, lambda *_: None, hidden, plane)
        return pictures[0] if pictures and pictures[0].startswith(start) else None

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
    def _lend(self, *, at_once: bool) -> Iterator["DecodingClient"]:
        with self._turns.take(at_once=at_once):
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
    limits = Limits(
        max_pixels=settings.max_image_pixels,
        max_seconds=settings.max_decode_seconds,
        max_bytes=settings.max_decode_bytes,
        max_message_bytes=max_message_bytes or settings.max_message_bytes,
    )
    return DecodingPool(size, limits, max_bytes, Budget(settings.decode_budget_bytes))


class DecodingClient:
    """The worker's side of a decoding process. Not thread-safe."""

    def __init__(self, module: str, limits: Limits, max_bytes: int) -> None:
        size = SharedMemory.count_bytes(max_bytes, limits.max_message_bytes)
        descriptor = os.memfd_create("starlight-decoding")
        self._control, theirs = socket.socketpair()
        try:
            # While it reconnects, Celery sets a default timeout for all new sockets of the process.
            for end in (self._control, theirs):
                end.setblocking(True)
            os.ftruncate(descriptor, size)
            self.memory = SharedMemory(descriptor, size, limits.max_message_bytes)
            self._process = subprocess.Popen(
                [sys.executable, "-m", module, str(descriptor), str(size), json.dumps(asdict(limits)), find_style()],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                pass_fds=[descriptor],
                # Ctrl-C at the terminal must reach only the worker.
                process_group=0,
                env=make_environment(),
            )
        finally:
            theirs.close()
            os.close(descriptor)

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def work(
        self,
        asked: bytes,
        images: Sequence[bytes],
        hidden: Sequence[HiddenPayload],
        budget: Budget,
        plane: PlaneChoice | None = None,
    ) -> ProcessEnded | None:
        """Process these images; return None if all are done, or how the process ended."""
        self.memory.write_images(images)
        for number, each in enumerate(hidden):
            self.memory.request["methods"][number] = METHODS.index(each.method) if each.method else len(METHODS)
            self.memory.request["orders"][number] = BIT_ORDERS.index(each.bit_order or BitOrder.NONE)
        if plane is not None:
            self.memory.request["plane"], self.memory.request["near"] = plane.name.encode("ascii"), plane.near
        if self._ask(asked, budget):
            return None
        return ProcessEnded(int(self.memory.request["current"]), self._process.wait(EXIT_S))

    def _ask(self, asked: bytes, budget: Budget) -> bool:
        """Send a request; return whether the process answers that it is done."""
        with ExitStack() as lent, suppress(OSError):
            self._control.sendall(asked)
            while (answer := self._control.recv(1)) == NEEDS_MEMORY:
                # The process handles one image at a time, so the memory of the last one is free.
                lent.close()
                lent.enter_context(budget.hold(max(0, int(self.memory.request["wanted"]))))
                self._control.sendall(NEEDS_MEMORY)
            return answer == DONE
        return False

    def is_alive(self) -> bool:
        """Whether the process is still running."""
        return self._process.poll() is None

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()
        self._control.close()
        self.memory.close()


def make_environment() -> dict[str, str]:
    """Return the environment of a decoding process."""
    return {name: value for name, value in os.environ.items() if not name.startswith(WITHHELD)} | MEMORY_KEPT
