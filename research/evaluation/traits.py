"""Traits that make a clean image hard: metadata and trailing bytes that resemble payloads, unusual pictures."""

import numpy as np
from PIL import Image

from worker.v4.containers import survey
from worker.v4.exif import read_comment_text
from worker.v4.exif_blocks import find_exif_block
from worker.v4.planes import read_number

_EXIF_IFD = 0x8769
_MAKER_NOTE = 0x927C
_FEW_COLOURS = 16


def hard_traits(image: Image.Image, data: bytes) -> tuple[str, ...]:
    """Return the names of the hard traits of an opened image and its file."""
    layout = survey(data)
    block = find_exif_block(data, layout)
    comment = read_comment_text(block, 1024).strip(b"\x00 ")
    trailing = data[layout.end :]
    text = [value for key, value in image.info.items() if isinstance(value, str) and key != "dpi"]
    found = {
        "camera EXIF": len(block) > 0,
        "EXIF MakerNote": len(block) > 0 and _MAKER_NOTE in image.getexif().get_ifd(_EXIF_IFD),
        "EXIF UserComment with content": bool(comment),
        "settings of an image generator": b"Sampler" in comment or any("Sampler" in value for value in text),
        "XMP": b"http://ns.adobe.com/xap/1.0/" in data or b"<x:xmpmeta" in data,
        "ICC profile": "icc_profile" in image.info,
        "multi-picture file": b"MPF\x00" in data[: layout.end],
        "bytes after the end": bool(trailing.strip(b"\x00")),
        "zeros after the end": bool(trailing) and not trailing.strip(b"\x00"),
        "motion photo": b"ftyp" in trailing[:64],
        "second JPEG after the end": trailing.startswith(b"\xff\xd8\xff"),
        "phone's records after the end": trailing.endswith(b"SEFT"),
        "GIF comment": image.format == "GIF" and bool(image.info.get("comment")),
        "PNG text": image.format == "PNG" and bool(text),
        "few colours": image.mode in ("1", "P") and _colours(image) <= _FEW_COLOURS,
        "grey": image.mode in ("1", "L", "LA"),
        "at most 24 pixels wide": image.width <= 24,
        "a megapixel or more": image.width * image.height >= 1_000_000,
    }
    return tuple(name for name, holds in found.items() if holds)


def _colours(image: Image.Image) -> int:
    return 2 if image.mode == "1" else len(image.getpalette("RGB") or ()) // 3


def measure_noise(planes: np.void, method: str) -> float:
    """Return the share of neighbouring samples of a method's carrier that differ; 0 if the method has no samples.

    The least significant bit is ignored, so that hiding a payload does not change the result.
    """
    plane = {"alpha": "alpha", "palette": "index", "lsb.rgb": "rgb"}.get(method)
    if plane is None:
        return 0.0
    lag = 3 if plane == "rgb" else 1
    samples = planes[plane][: read_number(planes, f"{plane}_count")] >> 1
    return float((samples[lag:] != samples[:-lag]).mean()) if len(samples) > lag else 0.0
