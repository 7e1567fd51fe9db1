"""What cameras, phones and editors really write: EXIF comments and bytes after the image's end that hide nothing."""

import io
from collections.abc import Callable
from typing import Final

import numpy as np
from PIL import Image

from research.stego.embed import exif_with_comment
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
    """Draw ordinary tags of the main directory: camera, orientation, software, dates."""
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
    """Draw an EXIF block as cameras write it, with or without a harmless UserComment."""
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
        return header + _counters(rng).encode() + b"\x00" * int(rng.integers(0, 20))
    if kind == 7:
        return CHARSETS[1] + _generation(rng).encode("utf-16-be") if rng.random() < 0.7 else _generation(rng).encode()
    if kind == 8:
        record = np.where(rng.random(length) < 0.7, 0, rng.integers(0, 64, length)).astype(np.uint8)
        return header + record.tobytes()
    return header + (
        b"GCM_TAG\x00Information\x00%s\x00No\x00Good\x00E" % _REMARKS[rng.integers(20)].encode("latin-1")
    ).ljust(256, b"\x00")


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


def draw_trailing(rng: Rng, data: bytes) -> bytes:
    """Draw harmless bytes to stand after the end of the image file `data`."""
    return _TRAILERS[rng.integers(len(_TRAILERS))](rng, data)


def _zeros(rng: Rng, data: bytes) -> bytes:
    del data
    value = (b"\x00", b"\x00", b"\x00", b"\xff", b" ", b"\n", b"\r\n", b"\x1a")[rng.integers(8)]
    return value * int(2 ** rng.uniform(0, 12))


def _second_end(rng: Rng, data: bytes) -> bytes:
    ends = (b"\x00\x00\x00\x00IEND\xaeB`\x82", b"IEND\xaeB`\x82", b"\xaeB`\x82", b"\xff\xd9", b"\x3b", b"\x00\x3b")
    return ends[rng.integers(len(ends))]


def _leftover(rng: Rng, data: bytes) -> bytes:
    """Take the end of an older, longer file that was overwritten in place."""
    older = _with_end_mark(rng, data)
    size = min(len(older), int(2 ** rng.uniform(3, 12)))
    return older[-size:]


def _cut_scan(rng: Rng, data: bytes) -> bytes:
    """Take a piece from the middle of compressed image data, as in frames cut from videos."""
    size = int(2 ** rng.uniform(2, 11))
    picture = data if len(data) > 2 * size else b""
    picture = _with_end_mark(rng, picture)
    start = int(rng.integers(len(picture) // 4, max(len(picture) // 4 + 1, len(picture) - size)))
    piece = picture[start : start + size]
    return piece + (b"", b"", b"\xff\xd9", b"\x00\x00\x01")[rng.integers(4)]


def _with_end_mark(rng: Rng, data: bytes) -> bytes:
    """Return the file, or a JPEG in its place: remains are found after formats whose readers stop at an end mark."""
    return data if data.startswith((b"\xff\xd8", b"\x89PNG", b"GIF8")) else _noisy_jpeg(rng)


def _second_jpeg(rng: Rng, data: bytes) -> bytes:
    """Draw the preview of a multi-picture file, or the gain map of a high-dynamic-range one."""
    del data
    padding = b"\x00" * int((0, 0, 2, 8, 60, 512)[rng.integers(6)])
    return padding + _noisy_jpeg(rng) + b"\x00" * int((0, 0, 60)[rng.integers(3)])


def _noisy_jpeg(rng: Rng) -> bytes:
    side = int(rng.integers(16, 96))
    coarse = rng.integers(0, 256, (4, 4, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    picture = Image.fromarray(coarse).resize((side, side))
    exif = draw_exif(rng, with_comment=False) if rng.random() < 0.5 else Image.Exif()
    picture.save(buffer, "JPEG", quality=int(rng.integers(50, 98)), exif=exif)
    return buffer.getvalue()


def motion_photo(rng: Rng, size: int) -> bytes:
    """Draw the video of a motion photo with `size` bytes of media: ISO base media boxes, with or without a marker."""
    brand = (b"mp42", b"isom", b"qt  ", b"avc1")[rng.integers(4)]
    kind = b"ftyp" + brand + b"\x00\x00\x00\x00" + b"isommp42"
    boxes = (len(kind) + 4).to_bytes(4, "big") + kind + (size + 8).to_bytes(4, "big") + b"mdat" + rng.bytes(size)
    marker = (b"", b"", b"MotionPhoto_Data", b"\x00\x00\x30\x0a\x10\x00\x00\x00MotionPhoto_Data")[rng.integers(4)]
    return marker + boxes


def _movie(rng: Rng, data: bytes) -> bytes:
    del data
    return motion_photo(rng, int(2 ** rng.uniform(5, 13)))


def _samsung(rng: Rng, data: bytes) -> bytes:
    """Draw the records that Samsung phones append, closed by a directory and `SEFT`."""
    del data
    names = (b"Image_UTC_Data", b"MCC_Data", b"Camera_Capture_Mode_Info", b"Color_Display_P3", b"Video_Call_Mode")
    name = names[rng.integers(len(names))]
    kind = b"\x00\x00" + bytes(rng.integers(0, 256, 2, dtype=np.uint8))
    value = str(rng.integers(10**12)).encode()
    record = kind + len(name).to_bytes(4, "little") + name + value
    directory = b"SEFH" + (107).to_bytes(4, "little") + (1).to_bytes(4, "little") + kind
    directory += len(record).to_bytes(4, "little") * 2
    return record + directory + len(directory).to_bytes(4, "little") + b"SEFT"


def _records(rng: Rng, data: bytes) -> bytes:
    """Draw binary structures of cameras and editors: tags, lengths, small numbers and here and there a word."""
    del data
    start = (
        b"AXS!\x00\x01\x00\x02",
        b"\x1c\x02\x00\x00\x02\x00\x02",
        b"8BIM\x04\x04",
        b"II*\x00\x08\x00\x00\x00",
        b"CaMe",
        b"\x00\x01",
        b"LEICA\x00",
    )
    parts = [start[rng.integers(len(start))]]
    for _ in range(int(2 ** rng.uniform(1, 6))):
        word = (b"", b"Edit Status", b"IPTC", b"Version", b"sRGB", b"Date", b"City")[rng.integers(7)]
        parts.append(b"\x1c\x02" + bytes(rng.integers(0, 256, 1, dtype=np.uint8)) + len(word).to_bytes(2, "big") + word)
        if rng.random() < 0.5:
            parts.append(int(rng.integers(2000)).to_bytes(4, "big"))
    return b"".join(parts)


def _patterned(rng: Rng, data: bytes) -> bytes:
    """Draw runs of few values: hexadecimal fillers, counters, tables."""
    del data
    unit = rng.integers(0, 256, int(rng.integers(1, 17)), dtype=np.uint8).tobytes()
    step = int(rng.integers(0, 4))
    count = int(2 ** rng.uniform(1, 8))
    return b"".join(bytes((value + step * turn) & 255 for value in unit) for turn in range(count))


_TRAILERS: Final[tuple[Callable[[Rng, bytes], bytes], ...]] = (
    _zeros, _zeros, _second_end, _leftover, _leftover, _cut_scan, _second_jpeg, _second_jpeg, _movie, _samsung,
    _records, _patterned,
)  # fmt: skip
