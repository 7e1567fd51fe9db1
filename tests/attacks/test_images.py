"""Images that are made to cost much: what each costs the process that decodes it."""

import struct
import zlib
from collections.abc import Callable, Iterator
from resource import RUSAGE_CHILDREN, getrusage

import pytest

from starlight_vocabulary.words import ErrorCode
from tests.attacks.conftest import Record
from tests.kit.pictures import encode_blank_png, encode_pattern, encode_png_chunk, encode_scans, encode_segments
from tests.kit.programs import read_peak_bytes
from worker.scanning.budget import Budget
from worker.scanning.decoding_pool import DecodingPool
from worker.scanning.decoding_process import DecodingLimits

SECONDS = 1.0
MIB = 2**20
LIMITS = DecodingLimits(max_pixels=50_000_000, max_seconds=SECONDS, max_bytes=512 * MIB, max_message_bytes=64)
# Costs of a process before it reads anything, and of its start.
START_BYTES, START_S = 48 * MIB, 1.0


class MeasuredPool(DecodingPool):
    """A pool of one process whose costs can be measured."""

    def read_peak_bytes(self) -> int:
        """Return the peak memory of the process, 0 if it has ended."""
        return max((read_peak_bytes(process.pid) for process in self._idle), default=0)


@pytest.fixture
def pool() -> Iterator[MeasuredPool]:
    pool = MeasuredPool(1, LIMITS, 64 * MIB, Budget(2**30))
    yield pool
    pool.stop()


def encode_tiff(*entries: tuple[int, int, int, int], filler: bytes) -> bytes:
    """Return a TIFF of 8 by 8 pixels with these additional entries of its directory: tag, type, count and value."""
    usual = [(256, 3, 1, 8), (257, 3, 1, 8), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1), (273, 4, 1, 8)]
    usual += [(277, 3, 1, 1), (278, 4, 1, 8), (279, 4, 1, 64)]
    listed = [*usual, *entries]
    directory = struct.pack("<H", len(listed)) + b"".join(struct.pack("<HHII", *entry) for entry in listed)
    return b"II*\0\x08\0\0\0" + directory + bytes(4) + filler


def encode_strips(count: int) -> bytes:
    """Return a TIFF whose strips have one row of pixels each."""
    tags = [(256, 3, 1, 8), (257, 4, 1, count), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1)]
    tags += [(273, 4, count, 200), (277, 3, 1, 1), (278, 4, 1, 1), (279, 4, count, 200)]
    directory = struct.pack("<H", len(tags)) + b"".join(struct.pack("<HHII", *tag) for tag in tags)
    return b"II*\0\x08\0\0\0" + directory + bytes(4 * count + 200)


def encode_packed(kind: bytes, size: int) -> bytes:
    """Return a PNG with a chunk that unpacks to so many bytes."""
    return encode_png_chunk(kind, b"name\0\0" + zlib.compress(bytes(size), 1))


# Name of an image, function that makes it, expected error, and maximum of additional memory in MiB.
ROWS: list[tuple[str, Callable[[], bytes], ErrorCode | None, int]] = [
    ("JPEG of 10,000 scans", lambda: encode_scans(7000, 10_000), ErrorCode.TOO_SLOW, 8),
    ("JPEG of 200 scans of 49 megapixels", lambda: encode_scans(7000, 200), ErrorCode.TOO_SLOW, 0),
    ("JPEG of 900 EXIF segments", lambda: encode_segments(0xE1, b"Exif\0\0", 900), ErrorCode.TOO_SLOW, 0),
    ("JPEG of 900 colour profiles", lambda: encode_segments(0xE2, b"ICC_PROFILE\0\1\1", 900), None, 192),
    ("JPEG of 900 comments", lambda: encode_segments(0xFE, b"", 900), None, 192),
    ("PNG of 400 megapixels", lambda: encode_blank_png(20_000, 20_000), ErrorCode.TOO_MANY_PIXELS, 8),
    ("PNG with text that unpacks to 512 MiB", lambda: encode_packed(b"zTXt", 2**29), ErrorCode.CORRUPT, 256),
    ("PNG with a profile that unpacks to 512 MiB", lambda: encode_packed(b"iCCP", 2**29), ErrorCode.CORRUPT, 256),
    ("PNG with 15 MB of text", lambda: encode_png_chunk(b"tEXt", b"k\0" + bytes(15 * MIB)), None, 96),
    ("TIFF of 6 million strips", lambda: encode_strips(6_000_000), ErrorCode.TOO_SLOW, 0),
    (
        "TIFF whose 30 entries are the same 7 million fractions",
        lambda: encode_tiff(*((700 + tag, 5, 7_000_000, 8) for tag in range(30)), filler=bytes(56 * MIB)),
        ErrorCode.TOO_SLOW,
        0,
    ),
    (
        "TIFF whose 300 entries are the same 60 MB",
        lambda: encode_tiff(*((700 + tag, 7, 60_000_000, 8) for tag in range(300)), filler=bytes(60_000_000)),
        None,
        384,
    ),
]  # fmt: skip


@pytest.mark.parametrize(("make", "code", "most_mib"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS])
def test_an_image_takes_what_it_may_and_no_more(
    pool: MeasuredPool, record_property: Record, make: Callable[[], bytes], code: ErrorCode | None, most_mib: int
) -> None:
    hostile = make()
    before = getrusage(RUSAGE_CHILDREN)

    (error,) = pool.decode([hostile]).errors
    peak = pool.read_peak_bytes()

    assert (error.code if error else None) == code
    assert peak <= START_BYTES + most_mib * MIB
    assert pool.decode([encode_pattern()]).errors == [None]
    pool.stop()
    after = getrusage(RUSAGE_CHILDREN)
    spent_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    # The peak of an ended process is unknown.
    if peak:
        record_property("peak_bytes", peak)
    record_property("processor_s", spent_s)
    # Two processes may have been started, and the time limit applies to each of the two images.
    assert spent_s <= 2 * (SECONDS + START_S)


def test_memory_for_one_image_ends_at_its_limit(record_property: Record) -> None:
    pool = MeasuredPool(1, DecodingLimits(50_000_000, 60.0, 256 * MIB, 64), 64 * MIB, Budget(2**30))
    hostile = encode_tiff(*((700 + tag, 5, 7_000_000, 8) for tag in range(30)), filler=bytes(56 * MIB))

    found = pool.decode([encode_pattern(), hostile, encode_pattern()])

    assert [error and error.code for error in found.errors] == [None, ErrorCode.TOO_MUCH_MEMORY, None]
    peak = pool.read_peak_bytes()
    record_property("peak_bytes", peak)
    assert peak <= START_BYTES + 64 * MIB + 256 * MIB
    pool.stop()
