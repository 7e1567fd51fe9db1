"""Single keys from a terminal, without waiting for the end of a line."""

import os
import select
import sys
import termios
import tty
from collections.abc import Iterator
from contextlib import contextmanager

# What terminals send for keys without a letter.
NAMED = {b"\x1b[A": "up", b"\x1b[B": "down", b"\x1bOA": "up", b"\x1bOB": "down", b"\t": "tab", b"\x1b": "escape",
         b"\x03": "q", b"k": "up", b"j": "down"}  # fmt: skip
LONGEST = 32


@contextmanager
def read_single_keys() -> Iterator[None]:
    """Have the terminal on standard input give keys as they are pressed, and show none, while the block lasts."""
    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    tty.setcbreak(descriptor)
    try:
        yield
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


def await_key(timeout_s: float) -> str | None:
    """Return the next key by its letter or name, None where none was pressed for so long, `q` at the end of input."""
    descriptor = sys.stdin.fileno()
    if not select.select([descriptor], [], [], timeout_s)[0]:
        return None
    pressed = os.read(descriptor, LONGEST)
    if not pressed:
        return "q"
    return NAMED.get(pressed) or pressed[:1].decode("ascii", "replace")
