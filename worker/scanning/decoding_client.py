"""The worker's side of a decoding process: starts it, sends it images and waits for its answers."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass

from starlight_vocabulary.words import BIT_ORDERS, METHODS, BitOrder, Method
from storage.logs import find_style
from worker.scanning.budget import Budget
from worker.scanning.decoding_memory import SharedMemory
from worker.scanning.decoding_process import DONE, NEEDS_MEMORY, DecodingLimits

# Prefixes of environment variables that a decoding process does not get: it handles untrusted bytes, and does not need
# the secrets in them.
WITHHELD = ("STARLIGHT_", "AWS_")
EXIT_S = 5.0
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


class DecodingClient:
    """The worker's side of a decoding process. Not thread-safe."""

    def __init__(self, module: str, limits: DecodingLimits, max_bytes: int) -> None:
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
