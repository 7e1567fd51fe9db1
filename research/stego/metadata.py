"""EXIF tags and comments that cameras, phones and editors write, without hidden payloads."""

import string
from typing import Final

import numpy as np
from PIL import Image

from worker.v4.embedding import exif_with_comment
from worker.v4.exif import CHARSETS

Rng = np.random.Generator

_CAMERAS: Final = (
    ("Canon", "Canon EOS 400D"), ("NIKON CORPORATION", "NIKON D70"), ("SONY", "DSC-W55"), ("Apple", "iPhone 12"),
    ("samsung", "SM-G973F"), ("Google", "Pixel 6"), ("OLYMPUS IMAGING CORP.", "E-M5"), ("FUJIFILM", "X-T2"),
    ("Panasonic", "DMC-FZ30"), ("Xiaomi", "M2007J20CG"), ("HUAWEI", "ELE-L29"), ("EASTMAN KODAK COMPANY", "DX3900"),
)  # fmt: skip
_SOFTWARE: Final = ("GIMP 2.10.34", "Adobe Photoshop CS6 (Windows)", "Picasa", "15.1", "Ver.1.0", "paint.net 4.2.5")
_REMARKS: Final = (
    "Screenshot", "OLYMPUS DIGITAL CAMERA", "KONICA MINOLTA DIGITAL CAMERA", "SONY DSC", "Created with GIMP",
    "Processed By eBay with ImageMagick, z1.1.0. ||B2", "Exif_JPEG_PICTURE", "DIGITAL CAMERA", "Picasa",
    "User comments", "UserComment", "User Comment", "No comment", "Minolta DSC", "SAMSUNG DIGITAL CAMERA",
    "CREATOR: gd-jpeg v1.0 (using IJG JPEG v62), quality = 90", "File written by Adobe Photoshop\xa8 5.0",
    "Image edited with Fotor", "AppleMark", "LEAD Technologies Inc. V1.01", "Default", "Untitled", "untitled",
    "oplus_0", "oplus_32", "oplus_1048608", "Intel(R) JPEG Library, version [1.51.12.44]", "ACD Systems",
    "Handsome", "Test", "Comment", "Charset=Ascii", "binary comment", "METADATA-START", "PENTAX", "VLC snapshot",
    "Captured by FastStone", "ShareX", "Lavc58.54.100", "Value 1", "Value", "My comment", "Optio S",
)  # fmt: skip


def draw_tags(rng: Rng) -> dict[int, str | int]:
    """Draw common tags of the main directory: camera, orientation, software, dates."""
    make, model = _CAMERAS[rng.integers(len(_CAMERAS))]
    tags: dict[int, str | int] = {0x0112: int(rng.integers(1, 9))}
    if rng.random() < 0.6:
        tags |= {0x010F: make, 0x0110: model}
    if rng.random() < 0.4:
        tags[0x0131] = _SOFTWARE[rng.integers(len(_SOFTWARE))]
    if rng.random() < 0.5:
        year, month, day, hour, minute = (int(rng.integers(low, high)) for low, high in _DATE)
        tags[0x0132] = f"{year}:{month:02}:{day:02} {hour:02}:{minute:02}:00"
    return tags


_DATE: Final = ((2001, 2026), (1, 13), (1, 29), (0, 24), (0, 60))


def draw_exif(rng: Rng, *, with_comment: bool) -> Image.Exif:
    """Draw a typical EXIF block, with or without a harmless UserComment."""
    if not with_comment:
        exif = Image.Exif()
        for tag, value in draw_tags(rng).items():
            exif[tag] = value
        return exif
    return exif_with_comment(draw_comment(rng), draw_tags(rng))


def draw_comment(rng: Rng) -> bytes:
    """Draw a harmless UserComment: blank padding, a device's remark, counters, binary records."""
    header = CHARSETS[(0, 0, 0, 1, 3, 3)[int(rng.integers(6))]]
    length = int((0, 1, 36, 64, 100, 117, 118, 124, 125, 128, 248, 256, 1000)[rng.integers(13)])
    kind = rng.integers(10)
    if kind < 3:
        blank = (b"\x00", b" ", b"\xff")[min(2, int(rng.integers(20)) // 9)] * length
        return blank if rng.random() < 0.12 else header + blank
    if kind < 6:
        remark = _REMARKS[rng.integers(len(_REMARKS))] if rng.random() < 0.8 else _REMARKS[0]
        padding = (b"", b"", b" " * 18, b"\x00" * 20, b"\x00")[rng.integers(5)]
        if header == CHARSETS[1]:
            return header + remark.encode("utf-16-le")
        return (header if rng.random() < 0.8 else b"") + remark.encode("latin-1") + padding
    if kind == 6:
        record = _design(rng) if rng.random() < 0.5 else _counters(rng)
        return header + record.encode() + b"\x00" * int(rng.integers(0, 20))
    if kind == 7:
        return CHARSETS[1] + _generation(rng).encode("utf-16-be") if rng.random() < 0.7 else _generation(rng).encode()
    if kind == 8:
        numbers = np.where(rng.random(length) < 0.7, 0, rng.integers(0, 64, length)).astype(np.uint8)
        return header + numbers.tobytes()
    return header + (
        b"GCM_TAG\x00Information\x00%s\x00No\x00Good\x00E" % _REMARKS[rng.integers(20)].encode("latin-1")
    ).ljust(256, b"\x00")


def _design(rng: Rng) -> str:
    """Draw the identifiers of a design, its version and its user that Canva writes."""
    letters = string.ascii_letters + string.digits + "-_"
    name = "".join(letters[index] for index in rng.integers(len(letters), size=8))
    text = f"xr:d:DA{'EFG'[rng.integers(3)]}{name}:{rng.integers(1, 60)},j:{rng.integers(10**18, 9 * 10**18)}"
    return text + f",t:{rng.integers(21, 27)}{rng.integers(1, 13):02}{rng.integers(1, 29):02}{rng.integers(24):02}"


def _counters(rng: Rng) -> str:
    names = (
        "R",
        "G",
        "B",
        "X",
        "Y",
        "S",
        "Zs",
        "fl",
        "iso",
        "exp",
        "AE",
        "AWB",
        "zoom",
        "hdr",
        "mirror",
        "module",
        "ts",
    )
    chosen = rng.choice(len(names), size=int(rng.integers(3, 9)), replace=False)
    if rng.random() < 0.5:
        return " ".join(f"{names[name]}:{rng.integers(40000):5}" for name in chosen)
    return ";".join(f"{names[name]}={rng.integers(2000)}" for name in chosen)


def _generation(rng: Rng) -> str:
    """Draw the settings that AI image generators write into UserComment."""
    words = (
        "portrait",
        "landscape",
        "8k",
        "masterpiece",
        "highly detailed",
        "oil painting",
        "sunset",
        "forest",
        "city",
        "cat",
    )
    prompt = ", ".join(words[index] for index in rng.integers(len(words), size=rng.integers(3, 10)))
    return (
        f"{prompt}\nNegative prompt: blurry, low quality\nSteps: {rng.integers(10, 60)}, Sampler: Euler a, "
        f"CFG scale: {rng.integers(4, 14)}, Seed: {rng.integers(2**32)}, "
        f"Size: 512x512, Model hash: {rng.bytes(5).hex()}"
    )
