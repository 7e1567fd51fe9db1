"""Starting the process that reads an archive: it has the archive, a pipe and nothing else.

Of an archive that is no file here, it has no archive either: it asks for its bytes, and is given them through the pipe.
"""

import os
import socket
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Final, Protocol, cast

import producer
from producer.sources.unpacking_frames import ANSWER_HEAD, BYTES_ASKED, MAX_ASKED_BYTES, BrokenFramesError

BUFFER_BYTES: Final = 256 * 2**10
EXIT_S: Final = 5.0
# What a Python needs to find its libraries.
KEPT: Final = ("PATH", "LD_LIBRARY_PATH", "PYTHONHOME")
# How often over an archive may be asked for, and so many bytes more: a directory is read again and again.
ASKED_AGAIN: Final = 2
ASKED_MORE_BYTES: Final = 256 * 2**20


class RemoteArchive(Protocol):
    """An archive that is no file of this machine; its size, and its bytes, which are always of one version."""

    @property
    def size(self) -> int:
        """How many bytes it has."""

    def read(self, start: int, size: int) -> bytes:
        """Return the bytes from `start` on, `size` of them unless it ends before."""


@dataclass(slots=True)
class RunningProcess:
    """A process that reads an archive, and what it sends."""

    process: "subprocess.Popen[bytes]"
    ours: socket.socket
    remote: RemoteArchive | None
    frames: IO[bytes] = field(init=False)
    _may_ask: int = field(init=False)

    def __post_init__(self) -> None:
        """Read what it sends."""
        self.frames = cast(IO[bytes], self.ours.makefile("rb", BUFFER_BYTES))
        self._may_ask = 0 if self.remote is None else ASKED_AGAIN * self.remote.size + ASKED_MORE_BYTES

    def end(self) -> int:
        """Return the exit status of the process, which has closed its end, or is killed."""
        try:
            return self.process.wait(EXIT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()

    def answer(self, asked: bytes) -> None:
        """Send the bytes of the archive that the process asks for.

        Raises BrokenFramesError where it may not, or asks for more than anybody needs, and what reading them does.
        """
        if self.remote is None or len(asked) != BYTES_ASKED.size:
            raise BrokenFramesError
        start, size = BYTES_ASKED.unpack(asked)
        self._may_ask -= size
        if size > MAX_ASKED_BYTES or self._may_ask < 0:
            raise BrokenFramesError
        data = self.remote.read(start, size)
        self.ours.sendall(ANSWER_HEAD.pack(len(data)) + data)


@contextmanager
def start_process(
    archive: IO[bytes] | None,
    remote: RemoteArchive | None,
    command: Sequence[str],
    stall_s: float,
    environment: Mapping[str, str],
) -> Iterator[RunningProcess]:
    """Yield the process of a command that reads an archive, an open file or a remote one; it is killed afterwards."""
    ours, theirs = socket.socketpair()
    with ours:
        # Of the time that whoever takes the members needs, nothing counts.
        ours.settimeout(stall_s)
        with theirs:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL if archive is None else archive.fileno(),
                stdout=theirs.fileno(),
                # Ctrl-C at the terminal is not its business.
                process_group=0,
                env=environment,
            )
        try:
            yield RunningProcess(process, ours, remote)
        finally:
            process.kill()
            process.wait()


def make_environment(*paths: str) -> dict[str, str]:
    """Return the environment of the process: where Python, this code and what lies under these paths are."""
    code = str(Path(str(producer.__file__)).parents[1])
    found = os.pathsep.join(dict.fromkeys((code, *paths)))
    return {name: os.environ[name] for name in KEPT if name in os.environ} | {"PYTHONPATH": found}
