"""Hostile images, and the error that each kind is to end as; nobody else may end as one.

No image is known to crash today's decoders, so the workers of a chaos run get a `sitecustomize` of their own, which
ends a process with SIGKILL when Pillow is asked to open bytes with a mark in them. The production code has no part in
it.
"""

import os
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Final

from PIL import Image

from starlight_vocabulary.words import ErrorCode

LIMITS: Final = {"STARLIGHT_MAX_DECODE_SECONDS": "0.5", "STARLIGHT_MAX_DECODE_BYTES": str(96 * 2**20)}
"""What decoding an image may take in a chaos run: little, so that the slow are slow soon."""

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
    """Return the environment of a process to which images with the mark are deadly."""
    site = folder / "site"
    site.mkdir(exist_ok=True)
    (site / "sitecustomize.py").write_text(_SITECUSTOMIZE)
    path = os.pathsep.join(each for each in (str(site), environment.get("PYTHONPATH", "")) if each)
    return {**environment, "PYTHONPATH": path}


def kill_decoder(image: bytes) -> bytes:
    """Return the image with the mark behind its end."""
    return image + MARK


def take_time(_: bytes) -> bytes:
    """Return a JPEG whose last scan comes again and again."""
    whole = _encode(Image.new("RGB", (3000, 3000)), "JPEG", progressive=True)
    end = whole.rindex(b"\xff\xd9")
    return whole[:end] + 180 * whole[whole.rindex(b"\xff\xda") : end] + whole[end:]


def take_memory(_: bytes) -> bytes:
    """Return a PNG of 49 megapixels."""
    return _encode(Image.new("RGB", (7000, 7000)), "PNG", compress_level=1)


def break_off(_: bytes) -> bytes:
    """Return the first half of a picture in which V4 sees nothing, and which has pixels in its other half."""
    whole = _encode(Image.radial_gradient("L"), "PNG")
    return whole[: len(whole) // 2]


def be_no_image(image: bytes) -> bytes:
    """Return bytes of the image that are none without their start."""
    return image[8:]


HOSTILE: Final[dict[Callable[[bytes], bytes], ErrorCode]] = {
    kill_decoder: ErrorCode.DECODER_CRASH,
    take_time: ErrorCode.TOO_SLOW,
    take_memory: ErrorCode.TOO_MUCH_MEMORY,
    break_off: ErrorCode.TRUNCATED,
    be_no_image: ErrorCode.UNKNOWN_FORMAT,
}
"""What is made of a harmless PNG, and how it is to end."""


def _encode(image: Image.Image, kind: str, **options: bool | int) -> bytes:
    buffer = BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()
