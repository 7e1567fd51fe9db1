"""`scripts/fuzz`: decodes and inspects corrupted images, and checks that each ends in an expected way.

The seed and the number of a case determine its bytes. If an image crashes its decoder, exceeds its time or memory, or
ends in any other unexpected way, its bytes are written to a file and the program exits with 1.
"""

import argparse
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Final

import numpy as np

from research.stego.drawn import draw_picture
from research.stego.headers import WRITERS, draw_writing
from research.stego.metadata import draw_exif
from research.stego.tails import TAIL_WRITERS, draw_tail
from starlight_vocabulary.words import METHODS, BitOrder, ErrorCode, Method
from worker.scanning.budget import Budget
from worker.scanning.decoding_client import HiddenPayload
from worker.scanning.decoding_memory import GROUP
from worker.scanning.decoding_pool import DecodingPool
from worker.scanning.decoding_process import DecodingLimits
from worker.scanning.image_error import ImageError
from worker.v4.embedding import embed_written

Rng = np.random.Generator

LIMITS: Final = DecodingLimits(max_pixels=4_000_000, max_seconds=5.0, max_bytes=512 * 2**20, max_message_bytes=256)
EXPECTED: Final = frozenset(
    (ErrorCode.UNKNOWN_FORMAT, ErrorCode.TOO_MANY_PIXELS, ErrorCode.TRUNCATED, ErrorCode.CORRUPT, None)
)
"""Error codes that a corrupted image of some kilobytes may end with; `too_slow` and `too_much_memory` are not."""
# Formats, modes and save options of Pillow for the images that are corrupted.
KINDS: Final[tuple[tuple[str, str, dict[str, str | bool]], ...]] = (
    ("PNG", "RGB", {}), ("PNG", "RGBA", {}), ("PNG", "P", {}), ("PNG", "L", {}), ("PNG", "1", {}), ("PNG", "I;16", {}),
    ("JPEG", "RGB", {}), ("JPEG", "RGB", {"progressive": True}), ("JPEG", "CMYK", {}), ("JPEG", "L", {}),
    ("GIF", "P", {}), ("GIF", "P", {"interlace": False}), ("WEBP", "RGB", {}), ("WEBP", "RGBA", {"lossless": True}),
    ("BMP", "RGB", {}), ("BMP", "P", {}), ("BMP", "1", {}), ("TIFF", "RGB", {}), ("TIFF", "CMYK", {}),
    ("TIFF", "RGB", {"compression": "tiff_lzw"}), ("TIFF", "L", {"compression": "packbits"}),
    ("TIFF", "1", {"compression": "group4"}), ("TIFF", "RGB", {"compression": "jpeg"}),
    ("TIFF", "RGB", {"compression": "tiff_adobe_deflate"}),
)  # fmt: skip
PAYLOAD: Final = 64
"""Approximate size of hidden payloads, in bytes."""
# Boundary values of sizes and offsets.
EDGES: Final = (b"\0", b"\xff", b"\x7f", b"\x80", b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\0\0\0\x01")


@dataclass
class Tally:
    """Counts of how the cases ended, and the unexpected ones: number, ending and bytes."""

    cases: int = 0
    endings: Counter[str] = field(default_factory=Counter)
    unexpected: list[tuple[int, str, bytes]] = field(default_factory=list)


def draw_seeds(rng: Rng) -> list[bytes]:
    """Return small valid images of every kind, with metadata where the format has any, and some with payloads."""
    seeds = []
    for name, mode, options in KINDS:
        picture = draw_picture(rng, size=(40, 30)).convert("L" if mode == "I;16" else mode)
        stream = BytesIO()
        exif = {"exif": draw_exif(rng, with_comment=True)} if name in ("PNG", "JPEG", "WEBP") else {}
        picture.convert(mode).save(stream, name, **options, **exif)
        seeds.append(stream.getvalue())
    return seeds + draw_hidden(rng)


def draw_hidden(rng: Rng) -> list[bytes]:
    """Return a small image for each known writer, with a payload in its pixels or after its end."""
    picture = draw_picture(rng, size=(40, 30)).convert("RGB")
    hidden = []
    for writer in WRITERS:
        stream = BytesIO()
        order = (BitOrder.LSB_FIRST, BitOrder.MSB_FIRST)[rng.integers(2)]
        embed_written(picture, Method.LSB_RGB, draw_writing(rng, writer, PAYLOAD).written, order).save(stream, "PNG")
        hidden.append(stream.getvalue())
    stream = BytesIO()
    picture.save(stream, "JPEG")
    return hidden + [stream.getvalue() + draw_tail(rng, writer, PAYLOAD).written for writer in TAIL_WRITERS]


def corrupt(rng: Rng, data: bytes, other: bytes) -> bytes:
    """Return the bytes with one to eight changes: bits flipped, bytes set, parts cut, doubled or taken from `other`."""
    corrupted = bytearray(data)
    for _ in range(int(rng.integers(1, 9))):
        # At least half of the changes hit the first bytes, where formats store their sizes.
        reach = len(corrupted) if rng.random() < 0.5 else min(len(corrupted), 128)
        at = int(rng.integers(reach + 1))
        length = int(2 ** rng.uniform(0, 8))
        change = rng.integers(6)
        if change == 0 and at < len(corrupted):
            corrupted[at] ^= 1 << int(rng.integers(8))
        elif change == 1:
            edge = EDGES[rng.integers(len(EDGES))]
            corrupted[at : at + len(edge)] = edge
        elif change == 2:
            corrupted[at : at + length] = rng.bytes(length)
        elif change == 3:
            del corrupted[at : at + length]
        elif change == 4:
            corrupted[at:at] = corrupted[at : at + length]
        else:
            start = int(rng.integers(len(other)))
            corrupted[at : at + length] = other[start : start + length]
    return bytes(corrupted) or b"\0"


def make_cases(seed: int) -> Iterator[bytes]:
    """Yield corrupted images without end."""
    seeds = draw_seeds(np.random.default_rng(seed))
    number = 0
    while True:
        rng = np.random.default_rng([seed, number])
        first, other = rng.integers(len(seeds), size=2)
        yield corrupt(rng, seeds[first], seeds[other])
        number += 1


def try_cases(pool: DecodingPool, cases: Sequence[bytes], tally: Tally) -> None:
    """Decode up to `GROUP` cases, read their messages, and inspect each."""
    found = pool.decode(cases)
    hidden = [
        HiddenPayload(data, METHODS[number % len(METHODS)], BitOrder.LSB_FIRST) for number, data in enumerate(cases)
    ]
    pool.read_payloads(hidden)
    for number, (data, error, has_planes) in enumerate(zip(cases, found.errors, found.has_planes, strict=True)):
        code = error.code if error else None
        tally.endings[f"{code or 'sound'}{', seen' if code and has_planes else ''}"] += 1
        if code not in EXPECTED or not (code or has_planes):
            tally.unexpected.append((tally.cases + number, f"{code}: {error.detail if error else ''}", data))
        if wrong := inspect(pool, data, is_seen=has_planes):
            tally.unexpected.append((tally.cases + number, f"inspection: {wrong}", data))
    tally.cases += len(cases)


def inspect(pool: DecodingPool, data: bytes, *, is_seen: bool) -> str | None:
    """Inspect a case and return what is wrong: an image can be inspected if and only if it can be decoded."""
    try:
        pool.inspect(data)
    except ImageError as error:
        return f"{error.code}: {error.detail}" if is_seen or error.code not in EXPECTED else None
    return None if is_seen else "an image that cannot be decoded was inspected"


def main(arguments: list[str] | None = None) -> int:
    """Try cases for some minutes, or a number of cases, and print how they ended."""
    parser = argparse.ArgumentParser(prog="fuzz", description=main.__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=1.0, help="how long to run (default %(default)s)")
    parser.add_argument("--cases", type=int, help="number of cases, instead of --minutes")
    parser.add_argument("--keep", type=Path, default=Path(), help="folder for unexpected cases (default .)")
    options = parser.parse_args(arguments)
    tally = Tally()
    pool = DecodingPool(1, LIMITS, 64 * 2**20, Budget(2**30))
    cases = make_cases(options.seed)
    end = time.monotonic() + 60 * options.minutes
    while tally.cases < options.cases if options.cases else time.monotonic() < end:
        try_cases(pool, [next(cases) for _ in range(GROUP)], tally)
    pool.stop()
    print(f"{tally.cases:,} cases of seed {options.seed}")
    for ending, count in sorted(tally.endings.items()):
        print(f"{count:>10,}  {ending}")
    for number, what, data in tally.unexpected:
        path = options.keep / f"fuzz-{options.seed}-{number}"
        path.write_bytes(data)
        print(f"case {number} ended as {what}: see {path}")
    return 1 if tally.unexpected else 0


if __name__ == "__main__":
    sys.exit(main())
