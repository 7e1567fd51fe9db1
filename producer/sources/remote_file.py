"""A remote archive as a file in the process that reads it; each read is a request to the parent process."""

import io
import os
from typing import IO, Any, cast

from producer.sources.unpacking_frames import ANSWER_HEAD, MAX_REQUEST_BYTES, REQUEST, REQUESTED_RANGE, write_frame


def open_remote_file(size: int, frames: IO[bytes], answers: int) -> IO[bytes]:
    """Return the remote archive of this size; requests are sent in `frames`, answers read from a file descriptor."""
    return cast(IO[bytes], io.BufferedReader(RemoteFile(size, frames, answers), MAX_REQUEST_BYTES))


class RemoteFile(io.RawIOBase):
    """An unbuffered, seekable file over the requests."""

    def __init__(self, size: int, frames: IO[bytes], answers: int) -> None:
        self._size = size
        self._frames = frames
        self._answers = answers
        self._position = 0

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Set the position and return it; raises OSError if it is negative."""
        position = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}[whence]
        if position < 0:
            raise OSError("before the start")
        self._position = position
        return position

    def tell(self) -> int:
        """Return the position."""
        return self._position

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401 - any buffer
        """Read the next bytes; raises BrokenPipeError if the parent process does not answer any more."""
        wanted = min(len(buffer), MAX_REQUEST_BYTES, max(0, self._size - self._position))
        if wanted == 0:
            return 0
        write_frame(self._frames, REQUEST, REQUESTED_RANGE.pack(self._position, wanted))
        self._frames.flush()
        size: int = ANSWER_HEAD.unpack(self._receive(ANSWER_HEAD.size))[0]
        buffer[:size] = self._receive(size)
        self._position += size
        return size

    def _receive(self, size: int) -> bytes:
        received = bytearray()
        while len(received) < size:
            piece = os.read(self._answers, size - len(received))
            if not piece:
                raise BrokenPipeError
            received += piece
        return bytes(received)
