"""`python -m worker.scanning.decoding_process`: decode images for a worker, in a process that may be killed.

Standard input is a socket: one byte requests work, one byte answers that it is done. Images and answers are in shared
memory. Each image has a limit of processor time, after which the system ends this process, and a limit of memory.
"""

import json
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Final

from PIL import Image

from starlight_vocabulary.words import BIT_ORDERS, METHODS, BitOrder, ErrorCode, Method
from storage.logs import Style, set_up_logging
from storage.process_limits import limit_resources
from worker.scanning.decoding import Decoder
from worker.scanning.decoding_memory import PICTURE_BYTES, SharedMemory, write_error
from worker.scanning.hiding import answer_question, write_refusal
from worker.scanning.image_error import ImageError
from worker.scanning.looks import Look, draw_image, inspect_image, write_evidence
from worker.scanning.pictures import PICTURE_SIDE, THUMBNAIL_SIDE, encode_picture
from worker.v4.bit_planes import NO_SAMPLES, draw_marked_plane, find_marked_samples
from worker.v4.evidence import collect_evidence
from worker.v4.extraction import read_payload
from worker.v4.planes import extract_planes

# Requests of the worker, and the answers.
DECODE: Final = b"d"
READ_PAYLOADS: Final = b"p"
INSPECT: Final = b"i"
DRAW: Final = b"b"
MAKE_THUMBNAIL: Final = b"t"
MAKE_PICTURE: Final = b"w"
DRAW_PLANE: Final = b"l"
COLLECT_EVIDENCE: Final = b"e"
HIDE: Final = b"h"
NEEDS_MEMORY: Final = b"?"
DONE: Final = b"."

# Decoding takes most of the processor time of a bulk job, so everything that an interactive image needs goes first.
NICENESS: Final = 5
# Smaller pictures are decoded without a request for memory.
ALWAYS_FREE_BYTES: Final = 16 * 2**20

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class DecodingLimits:
    """The limits of one image: pixels, seconds of processor time, bytes of memory, bytes of message."""

    max_pixels: int
    max_seconds: float
    max_bytes: int
    max_message_bytes: int


class DecodingProcess:
    """Serves the requests of a worker."""

    def __init__(self, control: socket.socket, memory: SharedMemory, limits: DecodingLimits) -> None:
        self._control = control
        self._memory = memory
        self._limits = limits
        self._decoder = Decoder(limits.max_pixels, self)

    def run(self) -> None:
        """Serve until the worker closes its end."""
        works: dict[bytes, Callable[[int, bytes], None]] = {
            DECODE: self._decode,
            READ_PAYLOADS: self._read_payload,
            INSPECT: partial(self._look, look=inspect_image),
            DRAW: partial(self._look, look=draw_image),
            MAKE_THUMBNAIL: partial(self._make_picture, THUMBNAIL_SIDE),
            MAKE_PICTURE: partial(self._make_picture, PICTURE_SIDE),
            DRAW_PLANE: self._draw_plane,
            COLLECT_EVIDENCE: self._collect_evidence,
            HIDE: self._hide,
        }
        while asked := self._control.recv(1):
            self._do_each(works[asked])
            self._control.sendall(DONE)

    @contextmanager
    def hold(self, size: int) -> Iterator[None]:
        """Request `size` bytes of the worker's budget and wait until they are free; the worker releases them itself."""
        if size > ALWAYS_FREE_BYTES:
            self._memory.request["wanted"] = size
            self._control.sendall(NEEDS_MEMORY)
            if not self._control.recv(1):
                sys.exit()
        yield

    def _do_each(self, work: Callable[[int, bytes], None]) -> None:
        for number, data in enumerate(self._memory.read_images()):
            self._memory.request["current"] = number
            # Its signal, SIGPROF, is not handled and ends the process.
            signal.setitimer(signal.ITIMER_PROF, self._limits.max_seconds)
            work(number, data)
        signal.setitimer(signal.ITIMER_PROF, 0)

    def _decode(self, number: int, data: bytes) -> None:
        answer = self._memory.decoded[number]
        answer["has_planes"], answer["code"] = False, 0
        try:
            with self._decoder.decode_first_rows(data) as (picture, height, damage):
                extract_planes(picture, data, answer["planes"], height=height)
                answer["format"] = (picture.format or "").encode()
                answer["has_planes"] = True
                if damage:
                    write_error(answer, damage)
        except ImageError as error:
            write_error(answer, error)
        except MemoryError:
            detail = f"decoding takes more than {self._limits.max_bytes:,} bytes of memory"
            write_error(answer, ImageError(ErrorCode.TOO_MUCH_MEMORY, detail))
        except Exception as error:
            log.exception("an image could not be decoded")
            write_error(answer, ImageError(ErrorCode.SCAN_FAILED, f"{type(error).__name__}: {error}"))

    def _read_payload(self, number: int, data: bytes) -> None:
        found = None
        method, order = self._read_method(number)
        with suppress(ImageError, MemoryError), self._decoder.decode_damaged(data) as (picture, _):
            if method is not None:
                found = read_payload(picture, data, method, order, self._limits.max_message_bytes)
        self._memory.write_payload(number, found.payload if found else None, found.body if found else b"")

    def _read_method(self, number: int) -> tuple[Method | None, BitOrder]:
        method = int(self._memory.request["methods"][number])
        return METHODS[method] if method < len(METHODS) else None, BIT_ORDERS[self._memory.request["orders"][number]]

    def _collect_evidence(self, number: int, data: bytes) -> None:
        method, order = self._read_method(number)

        def look(picture: Image.Image, whole: bytes, _damage: str | None) -> bytes:
            return write_evidence(collect_evidence(picture, whole, method, order))

        self._look(number, data, look)

    def _draw_plane(self, number: int, data: bytes) -> None:
        self._memory.write_picture(b"")
        method, order = self._read_method(number)
        name, near = self._memory.request["plane"].decode("ascii"), bool(self._memory.request["near"])
        with suppress(ImageError, MemoryError), self._decoder.decode_damaged(data) as (picture, _):
            marked = find_marked_samples(picture, data, method, order) if method else NO_SAMPLES
            self._memory.write_picture(draw_marked_plane(picture, name, marked, PICTURE_BYTES, near=near))

    def _hide(self, number: int, question: bytes) -> None:
        method, _ = self._read_method(number)
        try:
            answer = answer_question(self._decoder, question, method, self._memory.room)
        except MemoryError:
            answer = write_refusal(f"it takes more than {self._limits.max_bytes:,} bytes of memory")
        except Exception:  # encoders and decoders raise whatever their input provokes
            log.exception("a message could not be hidden")
            answer = write_refusal("the file cannot be rewritten: its structure is too unusual")
        self._memory.write_result(answer)

    def _look(self, _number: int, data: bytes, look: Look) -> None:
        """Answer with the text that `look` makes of one image."""
        try:
            with self._decoder.decode_damaged(data) as (picture, damage):
                self._memory.write_look(look(picture, data, damage.detail if damage else None))
        except ImageError as error:
            self._memory.write_look(None, error)
        except MemoryError:
            detail = f"inspecting the image takes more than {self._limits.max_bytes:,} bytes of memory"
            self._memory.write_look(None, ImageError(ErrorCode.TOO_MUCH_MEMORY, detail))

    def _make_picture(self, side: int, _number: int, data: bytes) -> None:
        self._memory.write_picture(b"")
        with suppress(ImageError, MemoryError), self._decoder.decode_damaged(data) as (picture, _):
            self._memory.write_picture(encode_picture(picture, side, PICTURE_BYTES))


def silence_libraries(style: Style) -> None:
    """Discard what libraries log or print about images; keep this process's own log."""
    logging.getLogger(Image.__package__).setLevel(logging.CRITICAL + 1)
    set_up_logging("decoder", style=style, stream=os.fdopen(os.dup(sys.stderr.fileno()), "w"))
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())


def main(descriptor: str, size: str, limits: str, style: str) -> None:
    """Serve a worker; takes descriptor and size in bytes of the shared memory, limits as JSON, and log style."""
    configured = DecodingLimits(**json.loads(limits))
    memory = SharedMemory(int(descriptor), int(size), configured.max_message_bytes)
    silence_libraries("text" if style == "text" else "json")
    os.nice(NICENESS)
    limit_resources(configured.max_bytes)
    # The worker may have been killed; then no one waits for the answer.
    with suppress(ConnectionError):
        DecodingProcess(socket.socket(fileno=sys.stdin.fileno()), memory, configured).run()


if __name__ == "__main__":
    main(*sys.argv[1:])
