"""Carriers with hidden bytes, followed by the bits of the picture."""

import random
from dataclasses import dataclass
from typing import Final

from worker.v4.payload_description import ReadPayload
from worker.v4.payloads import read_payload_of

LIMIT: Final = 64 * 2**10
# The bits of a picture after a payload: noise, or a repeated byte.
REMAINDERS: Final = {"noise": None, "zeros": b"\x00", "ones": b"\xff", "stripes": b"U"}


@dataclass(frozen=True, slots=True)
class Samples:
    """The bytes of a carrier, with more after the payload."""

    data: bytes
    is_whole = False

    @property
    def total(self) -> int:
        """The number of bytes."""
        return len(self.data)

    def take(self, count: int) -> bytes:
        """Return the first `count` bytes."""
        return self.data[:count]


def fill(hidden: bytes, remainder: str = "noise", seed: int = 0) -> Samples:
    """Return a carrier that starts with these bytes, followed by one of `REMAINDERS`."""
    pattern = REMAINDERS[remainder]
    count = 30_000
    return Samples(hidden + (random.Random(seed).randbytes(count) if pattern is None else pattern * count))


def read(hidden: bytes, remainder: str = "noise", seed: int = 0) -> ReadPayload:
    """Return the payload that is read from the carrier that `fill` makes."""
    return read_payload_of(fill(hidden, remainder, seed), LIMIT)
