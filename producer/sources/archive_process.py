"""Starting the process that reads an archive: it gets the archive, a socket and nothing else.

If the archive is not a local file, the process requests its bytes through the socket.
"""

import os
import socket
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Final, Protocol, cast

import producer
from producer.sources.unpacking_frames import ANSWER_HEAD, MAX_REQUEST_BYTES, REQUESTED_RANGE, BrokenFramesError

BUFFER_BYTES: Final = 256 * 2**10
EXIT_S: Final = 5.0
# Variables that Python needs to find its libraries.
KEPT: Final = ("PATH", "LD_LIBRARY_PATH", "PYTHONHOME")
# A process may request so many times the size of a remote archive, and so many bytes more: readers read the directory
# of an archive several times.
MAX_REREADS: Final = 2
EXTRA_REQUEST_BYTES: Final = 256 * 2**20


class RemoteArchive(Protocol):
    """An archive that is not a local file. All bytes that are read come from one version of it."""

    @property
    def size(self) -> int:
        """Size in bytes."""

    def read(self, start: int, size: int) -> bytes:
        """Return `size` bytes from `start` on, fewer at the end of the archive."""


@dataclass(slots=True)
class RunningProcess:
    """A process that reads an archive, and the stream of frames that it sends."""

    process: "subprocess.Popen[bytes]"
    ours: socket.socket
    remote: RemoteArchive | None
    frames: IO[bytes] = field(init=False)
    _requestable_bytes: int = field(init=False)

    def __post_init__(self) -> None:
        """Open the stream of frames."""
        self.frames = cast(IO[bytes], self.ours.makefile("rb", BUFFER_BYTES))
        self._requestable_bytes = 0 if self.remote is None else MAX_REREADS * self.remote.size + EXTRA_REQUEST_BYTES

    def end(self) -> int:
        """Return the exit status of a process that has closed its socket; it is killed if it does not exit."""
        try:
            return self.process.wait(EXIT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()

    def answer(self, request: bytes) -> None:
        """Send the bytes of the remote archive that the process requests.

        Raises BrokenFramesError if the request is invalid or exceeds the limits, and what reading the archive raises.
        """
        if self.remote is None or len(request) != REQUESTED_RANGE.size:
            raise BrokenFramesError
        start, size = REQUESTED_RANGE.unpack(request)
        self._requestable_bytes -= size
        if size > MAX_REQUEST_BYTES or self._requestable_bytes < 0:
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
    """Start a command that reads an open file or a remote archive, and yield its process; it is killed afterwards."""
    ours, theirs = socket.socketpair()
    with ours:
        # A timeout of the read itself, so that the time in which the caller handles a member does not count.
        ours.settimeout(stall_s)
        with theirs:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL if archive is None else archive.fileno(),
                stdout=theirs.fileno(),
                # So that Ctrl-C at the terminal does not reach it.
                process_group=0,
                env=environment,
            )
        try:
            yield RunningProcess(process, ours, remote)
        finally:
            process.kill()
            process.wait()


def find_libraries(*names: str) -> list[str]:
    """Return the folders from which a process imports these libraries."""
    origins = [spec.origin for name in names if (spec := find_spec(name)) and spec.origin]
    # For a package, the origin is the `__init__.py` in its folder.
    return [str(path.parent.parent if path.name == "__init__.py" else path.parent) for path in map(Path, origins)]


def make_environment(*paths: str) -> dict[str, str]:
    """Return the environment of the process, in which Python finds its libraries, this code and these paths."""
    code = str(Path(str(producer.__file__)).parents[1])
    found = os.pathsep.join(dict.fromkeys((code, *paths)))
    return {name: os.environ[name] for name in KEPT if name in os.environ} | {"PYTHONPATH": found}
