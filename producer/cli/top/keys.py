"""Single keys from a terminal, without waiting for the end of a line."""

import os
import re
import select
import sys
import termios
import tty
from collections.abc import Iterator
from contextlib import contextmanager

# An escape sequence of a special key, or one byte.
KEY = re.compile(rb"\x1b[\[O][0-9;]*[A-Za-z~]|[\x00-\xff]")
NAMED = {
    b"\x1b[A": "up", b"\x1bOA": "up", b"k": "up", b"\x1b[B": "down", b"\x1bOB": "down", b"j": "down",
    b"\t": "tab", b"\x03": "q",
}  # fmt: skip
LONGEST = 1024


@contextmanager
def read_single_keys() -> Iterator[None]:
    """Make the terminal on standard input deliver keys immediately and without echo, during the block."""
    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    tty.setcbreak(descriptor)
    try:
        yield
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


def await_keys(timeout_s: float) -> list[str]:
    """Return the pressed keys, by letter or name; none after the timeout, `q` at the end of input."""
    descriptor = sys.stdin.fileno()
    if not select.select([descriptor], [], [], timeout_s)[0]:
        return []
    return split_keys(os.read(descriptor, LONGEST) or b"q")


def split_keys(pressed: bytes) -> list[str]:
    """Split input, which may have several keys, into keys by letter or name."""
    return [NAMED.get(key) or key.decode("ascii", "replace") for key in KEY.findall(pressed)]
