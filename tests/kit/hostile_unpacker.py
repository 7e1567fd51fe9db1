"""An unpacking process that its archive has compromised: `python -m tests.kit.hostile_unpacker`.

The archive is text, and each word names an action of the process.
"""

import errno
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from producer.sources import unpacking_frames as frames
from storage.process_limits import forbid_writing_files, limit_processor_time


def send(kind: bytes, payload: bytes = b"") -> Callable[[], None]:
    """Return an action that sends a frame."""

    def action() -> None:
        frames.write_frame(sys.stdout.buffer, kind, payload)
        sys.stdout.flush()

    return action


def send_raw(data: bytes) -> Callable[[], None]:
    """Return an action that sends bytes."""

    def action() -> None:
        sys.stdout.buffer.write(data)
        sys.stdout.flush()

    return action


def repeat(action: Callable[[], None]) -> Callable[[], None]:
    """Return an action that repeats another forever."""

    def forever() -> None:
        while True:
            action()

    return forever


def close() -> None:
    """Close the pipe and continue."""
    os.close(sys.stdout.fileno())


def list_descriptors() -> None:
    """Send a member whose name lists the open file descriptors."""
    opened = sorted(int(each.name) for each in Path("/proc/self/fd").iterdir())
    send(frames.MEMBER, json.dumps(opened).encode())()


def write_file() -> None:
    """Try to write to a file, and send the error."""
    try:
        os.write(os.memfd_create("file"), b"a")
    except OSError as error:
        send(frames.MEMBER, errno.errorcode[error.errno or 0].encode())()
        send(frames.WHOLE)()


ACTIONS: dict[str, Callable[[], None]] = {
    "begin": send(frames.READY),
    "member": send(frames.MEMBER, b"member"),
    "data": send(frames.DATA, bytes(1000)),
    "whole": send(frames.WHOLE),
    "progress": send(frames.PROGRESS),
    "span": send(frames.SPAN, frames.SPAN_NUMBERS.pack(0, 5)),
    "far-span": send(frames.SPAN, frames.SPAN_NUMBERS.pack(20, 2**40)),
    "ask": send(frames.REQUEST, frames.REQUESTED_RANGE.pack(0, 5)),
    "end": send(frames.END),
    "fail": send(frames.FAILED, b"nobody expected this"),
    "unknown": send(b"?"),
    "long-name": send(frames.MEMBER, b"a" * (frames.MAX_NAME_BYTES + 1)),
    "long-frame": send_raw(frames.HEAD.pack(frames.DATA, 2**32 - 1)),
    "half": send_raw(b"m"),
    "data-for-ever": repeat(send(frames.DATA, bytes(1000))),
    "members-for-ever": repeat(lambda: (send(frames.MEMBER, b"member")(), send(frames.WHOLE)(), None)[-1]),
    "compute": repeat(lambda: None),
    "wait": signal.pause,
    "abort": os.abort,
    "close": close,
    "environment": send(frames.MEMBER, json.dumps(sorted(os.environ)).encode()),
    "descriptors": list_descriptors,
    "write": write_file,
}

if __name__ == "__main__":
    limit_processor_time(json.loads(sys.argv[-1])[3])
    forbid_writing_files()
    for word in sys.stdin.read().split():
        ACTIONS[word]()
