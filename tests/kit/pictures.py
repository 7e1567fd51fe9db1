"""Pictures for tests: drawn by Pillow, or built byte by byte if Pillow would refuse to write them."""

import struct
import zlib
from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image

# The modes that each format stores without conversion. Pillow writes LAB, F and similar modes only to TIFF.
MODES = {
    "PNG": ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"),
    "JPEG": ("L", "RGB", "CMYK"),
    "GIF": ("L", "P"),
    "WEBP": ("RGB", "RGBA"),
    "BMP": ("1", "L", "P", "RGB"),
    "TIFF": ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "LAB", "I;16", "I;16B", "I", "F"),
}
FORMATS_AND_MODES = [(name, mode) for name, modes in MODES.items() for mode in modes]


def draw_pattern(mode: str = "RGB", size: tuple[int, int] = (8, 8)) -> Image.Image:
    """Return a picture whose every byte differs from its neighbours."""
    image = Image.new(mode, size)
    count = len(image.tobytes())
    image.frombytes(bytes(position * 37 % 251 for position in range(count)))
    if mode == "P":
        image.putpalette(bytes(position * 3 % 256 for position in range(768)))
    return image


def draw_noise(mode: str, width: int = 40, height: int = 30, seed: int = 0) -> Image.Image:
    """Return random samples; a P image gets a random table of 256 colours."""
    rng = np.random.default_rng(seed)
    channels = len(Image.new(mode, (1, 1)).getbands())
    shape = (height, width, channels) if channels > 1 else (height, width)
    samples = rng.integers(0, 256, shape, dtype=np.uint8)
    if mode == "P":
        image = Image.fromarray(samples, "L").copy()
        image = Image.frombytes("P", image.size, image.tobytes())
        image.putpalette(rng.bytes(768), "RGB")
        return image
    return Image.frombytes(mode, (width, height), samples.tobytes())


def draw_grained(mode: str = "RGB", size: int = 64, seed: int = 0) -> Image.Image:
    """Return a smooth picture with some grain, like a photograph."""
    rng = np.random.default_rng(seed)
    ramp = np.linspace(20, 220, size)[:, None, None] + np.linspace(0, 30, size)[None, :, None]
    grained = ramp + rng.normal(0, 6, (size, size, 3))
    return Image.fromarray(grained.clip(0, 255).astype(np.uint8)).convert(mode)


def encode(image: Image.Image, format: str = "PNG", **options: Any) -> bytes:  # noqa: A002
    """Return the picture as a file of this Pillow format."""
    stream = BytesIO()
    image.save(stream, format, **options)
    return stream.getvalue()


def decode(data: bytes) -> Image.Image:
    """Return the first frame of a file in its native mode, loaded."""
    image = Image.open(BytesIO(data))
    image.load()
    return image


def encode_pattern(format: str = "PNG", mode: str = "RGB", size: tuple[int, int] = (8, 8), **options: Any) -> bytes:  # noqa: A002
    """Return a drawn pattern as a file of this format."""
    return encode(draw_pattern(mode, size), format, **options)


def encode_strip(width: int, trailing: bytes = b"") -> bytes:
    """Return a picture of this width and one row, with trailing bytes."""
    return encode_pattern("PNG", "L", (width, 1)) + trailing


def encode_animation(format: str, frames: int) -> bytes:  # noqa: A002
    """Return a file of several different frames, or pictures for `MPO` and `TIFF`."""
    first, *others = [draw_pattern("RGB", (8, 8)).rotate(90 * number) for number in range(frames)]
    stream = BytesIO()
    # Lossless, so that frames can be compared.
    options = {"lossless": True} if format == "WEBP" else {}
    first.save(stream, format, save_all=True, append_images=others, **options)
    return stream.getvalue()


def choose_mode_for(format: str) -> str:  # noqa: A002
    """Return the richest mode that the format stores."""
    return "P" if format == "GIF" else "RGB"


def encode_truncated(format: str = "PNG", kept: float = 0.6, **options: Any) -> bytes:  # noqa: A002
    """Return a file that is truncated within its pixels."""
    data = encode_pattern(format, choose_mode_for(format), (50, 50), **options)
    return data[: int(kept * len(data))]


def encode_blank_png(width: int, height: int) -> bytes:
    """Return a black two-colour PNG; the file is small even if the picture is large."""
    row = bytes(1 + (width + 7) // 8)
    packer = zlib.compressobj(9)
    pixels = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", pixels) + _chunk(b"IEND", b"")


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def encode_blank_gif(screen: tuple[int, int], frame: tuple[int, int] = (1, 1), frames: int = 1) -> bytes:
    """Return a GIF with frames of this size, which may exceed the screen; each has data for only one pixel."""
    colours = bytes((0, 0, 0, 255, 255, 255))
    header = b"GIF89a" + struct.pack("<HHBBB", *screen, 0x80, 0, 0) + colours
    control = b"\x21\xf9\x04\x00\x01\x00\x00\x00"
    # LZW codes of three bits: clear, pixel 0, end.
    pixels = b"\x02\x02\x44\x01\x00"
    picture = b"\x2c" + struct.pack("<HHHHB", 0, 0, *frame, 0) + pixels
    return header + (control + picture) * frames + b"\x3b"


def encode_scans(side: int, scans: int) -> bytes:
    """Return a black progressive JPEG with `scans` scans, made by repeating its last one."""
    whole = encode(Image.new("RGB", (side, side)), "JPEG", progressive=True)
    end = whole.rindex(b"\xff\xd9")
    last = whole[whole.rindex(b"\xff\xda") : end]
    return whole[:end] + last * (scans - whole.count(b"\xff\xda")) + whole[end:]


def encode_segments(marker: int, start: bytes, count: int) -> bytes:
    """Return a small JPEG with `count` segments of this marker, each of the maximum size."""
    whole = encode(Image.new("RGB", (8, 8)), "JPEG")
    segment = b"\xff" + bytes([marker]) + b"\xff\xff" + start.ljust(65533, b"A")
    return whole[:2] + count * segment + whole[2:]


def encode_png_chunk(kind: bytes, data: bytes) -> bytes:
    """Return a small PNG with an additional chunk before its pixels."""
    whole = encode(draw_pattern())
    at = whole.index(b"IDAT") - 4
    return whole[:at] + _chunk(kind, data) + whole[at:]
