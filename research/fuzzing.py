"""`scripts/fuzz`: decode and inspect spoilt images, and see that each has one outcome that the project knows.

What is spoilt is decided by the seed and the number of the case alone. Where an image crashes its decoder, takes all
its time or memory, or ends as something that nobody foresaw, its bytes are kept and the program ends with 1.
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
from worker.scanning.decoding_memory import GROUP
from worker.scanning.decoding_pool import DecodingPool, HiddenPayload
from worker.scanning.decoding_process import Limits
from worker.scanning.image_error import ImageError
from worker.v4.embedding import embed_written

Rng = np.random.Generator

LIMITS: Final = Limits(max_pixels=4_000_000, max_seconds=5.0, max_bytes=512 * 2**20, max_message_bytes=256)
EXPECTED: Final = frozenset(
    (ErrorCode.UNKNOWN_FORMAT, ErrorCode.TOO_MANY_PIXELS, ErrorCode.TRUNCATED, ErrorCode.CORRUPT, None)
)
"""How spoilt images of some kilobytes may end: none of them is allowed to be slow."""
# Pillow's formats, modes and options of what is spoilt.
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
"""About how many bytes are hidden."""
# Values at which sizes and offsets turn.
EDGES: Final = (b"\0", b"\xff", b"\x7f", b"\x80", b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\0\0\0\x01")


@dataclass
class Findings:
    """How the cases ended, and those that ended as none may: their numbers, codes and bytes."""

    cases: int = 0
    endings: Counter[str] = field(default_factory=Counter)
    unexpected: list[tuple[int, str, bytes]] = field(default_factory=list)


def draw_seeds(rng: Rng) -> list[bytes]:
    """Return small sound images of every kind, with metadata where the format has any, and with payloads of each."""
    seeds = []
    for name, mode, options in KINDS:
        picture = draw_picture(rng, size=(40, 30)).convert("L" if mode == "I;16" else mode)
        stream = BytesIO()
        exif = {"exif": draw_exif(rng, with_comment=True)} if name in ("PNG", "JPEG", "WEBP") else {}
        picture.convert(mode).save(stream, name, **options, **exif)
        seeds.append(stream.getvalue())
    return seeds + draw_hidden(rng)


def draw_hidden(rng: Rng) -> list[bytes]:
    """Return small images in which every known writer has hidden something, in pixels and after the end."""
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


def spoil(rng: Rng, data: bytes, other: bytes) -> bytes:
    """Return the bytes changed in one to eight places: bits turned, bytes set, parts cut, doubled or of `other`."""
    spoilt = bytearray(data)
    for _ in range(int(rng.integers(1, 9))):
        # Half of all changes fall into the first bytes, where formats have their sizes.
        reach = len(spoilt) if rng.random() < 0.5 else min(len(spoilt), 128)
        at = int(rng.integers(reach + 1))
        length = int(2 ** rng.uniform(0, 8))
        change = rng.integers(6)
        if change == 0 and at < len(spoilt):
            spoilt[at] ^= 1 << int(rng.integers(8))
        elif change == 1:
            edge = EDGES[rng.integers(len(EDGES))]
            spoilt[at : at + len(edge)] = edge
        elif change == 2:
            spoilt[at : at + length] = rng.bytes(length)
        elif change == 3:
            del spoilt[at : at + length]
        elif change == 4:
            spoilt[at:at] = spoilt[at : at + length]
        else:
            start = int(rng.integers(len(other)))
            spoilt[at : at + length] = other[start : start + length]
    return bytes(spoilt) or b"\0"


def make_cases(seed: int) -> Iterator[bytes]:
    """Yield spoilt images without end."""
    seeds = draw_seeds(np.random.default_rng(seed))
    number = 0
    while True:
        rng = np.random.default_rng([seed, number])
        first, other = rng.integers(len(seeds), size=2)
        yield spoil(rng, seeds[first], seeds[other])
        number += 1


def try_cases(pool: DecodingPool, cases: Sequence[bytes], findings: Findings) -> None:
    """Decode up to `GROUP` cases, read messages from them, and inspect each."""
    found = pool.decode(cases)
    hidden = [
        HiddenPayload(data, METHODS[number % len(METHODS)], BitOrder.LSB_FIRST) for number, data in enumerate(cases)
    ]
    pool.read_payloads(hidden)
    for number, (data, error, has_planes) in enumerate(zip(cases, found.errors, found.has_planes, strict=True)):
        code = error.code if error else None
        findings.endings[f"{code or 'sound'}{', seen' if code and has_planes else ''}"] += 1
        if code not in EXPECTED or not (code or has_planes):
            findings.unexpected.append((findings.cases + number, f"{code}: {error.detail if error else ''}", data))
        if wrong := inspect(pool, data, is_seen=has_planes):
            findings.unexpected.append((findings.cases + number, f"inspection: {wrong}", data))
    findings.cases += len(cases)


def inspect(pool: DecodingPool, data: bytes, *, is_seen: bool) -> str | None:
    """Inspect a case, and return what is wrong if that ends as it may not: what can be seen can be inspected."""
    try:
        pool.inspect(data)
    except ImageError as error:
        return f"{error.code}: {error.detail}" if is_seen or error.code not in EXPECTED else None
    return None if is_seen else "what cannot be seen was inspected"


def main(arguments: list[str] | None = None) -> int:
    """Try cases for some time, or so many, and say how they ended."""
    parser = argparse.ArgumentParser(prog="fuzz", description=main.__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=1.0, help="how long (default %(default)s)")
    parser.add_argument("--cases", type=int, help="how many, however long it takes")
    parser.add_argument("--keep", type=Path, default=Path(), help="folder for unexpected cases (default .)")
    options = parser.parse_args(arguments)
    findings = Findings()
    pool = DecodingPool(1, LIMITS, 64 * 2**20, Budget(2**30))
    cases = make_cases(options.seed)
    end = time.monotonic() + 60 * options.minutes
    while findings.cases < options.cases if options.cases else time.monotonic() < end:
        try_cases(pool, [next(cases) for _ in range(GROUP)], findings)
    pool.stop()
    print(f"{findings.cases:,} cases of seed {options.seed}")
    for ending, count in sorted(findings.endings.items()):
        print(f"{count:>10,}  {ending}")
    for number, what, data in findings.unexpected:
        path = options.keep / f"fuzz-{options.seed}-{number}"
        path.write_bytes(data)
        print(f"case {number} ended as {what}: see {path}")
    return 1 if findings.unexpected else 0


if __name__ == "__main__":
    sys.exit(main())
