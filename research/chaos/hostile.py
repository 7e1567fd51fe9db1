"""Hostile images and the error that each kind must end with; no other image may end with an error.

No image is known to crash the current decoders. So the workers of a chaos run get a `sitecustomize` that kills a
process with SIGKILL when Pillow opens bytes that contain a mark. The production code is unchanged.
"""

import os
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Final

from PIL import Image

from starlight_vocabulary.words import ErrorCode

LIMITS: Final = {"STARLIGHT_MAX_DECODE_SECONDS": "0.5", "STARLIGHT_MAX_DECODE_BYTES": str(96 * 2**20)}
"""Limits of decoding in a chaos run: low, so that slow images exceed them quickly."""

MARK = b"STARLIGHT-CHAOS-POISON"

_SITECUSTOMIZE = f"""
import os, signal
from PIL import Image

_open = Image.open

def open(fp, *arguments, **options):
    if {MARK!r} in fp.getvalue():
        os.kill(os.getpid(), signal.SIGKILL)
    return _open(fp, *arguments, **options)

Image.open = open
"""


def make_environment_deadly(environment: dict[str, str], folder: Path) -> dict[str, str]:
    """Return the environment of a process that images with the mark kill."""
    site = folder / "site"
    site.mkdir(exist_ok=True)
    (site / "sitecustomize.py").write_text(_SITECUSTOMIZE)
    path = os.pathsep.join(each for each in (str(site), environment.get("PYTHONPATH", "")) if each)
    return {**environment, "PYTHONPATH": path}


def append_mark(image: bytes) -> bytes:
    """Return the image with the mark after its end."""
    return image + MARK


def take_time(_: bytes) -> bytes:
    """Return a JPEG that repeats its last scan many times."""
    whole = _encode(Image.new("RGB", (3000, 3000)), "JPEG", progressive=True)
    end = whole.rindex(b"\xff\xd9")
    return whole[:end] + 180 * whole[whole.rindex(b"\xff\xda") : end] + whole[end:]


def take_memory(_: bytes) -> bytes:
    """Return a PNG of 49 megapixels."""
    return _encode(Image.new("RGB", (7000, 7000)), "PNG", compress_level=1)


def cut_in_half(_: bytes) -> bytes:
    """Return the first half of a clean PNG whose second half has pixels too."""
    whole = _encode(Image.radial_gradient("L"), "PNG")
    return whole[: len(whole) // 2]


def remove_signature(image: bytes) -> bytes:
    """Return the image without its signature."""
    return image[8:]


HOSTILE: Final[dict[Callable[[bytes], bytes], ErrorCode]] = {
    append_mark: ErrorCode.DECODER_CRASH,
    take_time: ErrorCode.TOO_SLOW,
    take_memory: ErrorCode.TOO_MUCH_MEMORY,
    cut_in_half: ErrorCode.TRUNCATED,
    remove_signature: ErrorCode.UNKNOWN_FORMAT,
}
"""Functions that make a hostile image from a harmless PNG, and the expected error."""


def _encode(image: Image.Image, kind: str, **options: bool | int) -> bytes:
    buffer = BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()
