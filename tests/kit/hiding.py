"""Images with texts hidden in all the places that tools and people use, beyond those of the specification."""

import struct
from io import BytesIO
from typing import Final

import numpy as np
from PIL import Image, PngImagePlugin

from tests.kit.pictures import draw_grained, encode

TEXTS: Final = {
    "B,G,R, 2 bits, msb-first, columns": "Down the columns, in two bits, blue before red.",
    "comment": "A comment that a camera would not write.",
    "after the image's end": "Behind the end there is always room.",
    "tEXt 'Author'": "Nobody in particular wrote this.",
    "zTXt 'Long'": "Packed, and unpacked again.",
    "XMP": "<x:xmpmeta><rdf:li>In the XMP packet.</rdf:li></x:xmpmeta>",
    "EXIF ImageDescription": "A description of the image.",
    "EXIF UserComment": "A comment of the user.",
    "EXIF XPComment": "Ein Kommentar für Windows.",
    "IPTC caption": "A caption for the agency.",
}
"""The hidden texts, by the name of the place in an inspection."""


def hide_in_pixels(
    image: Image.Image, channels: tuple[int, ...], bits: int, hidden: bytes, *, msb_first: bool, in_columns: bool
) -> Image.Image:
    """Replace the lowest bits of these channels, pixel by pixel, with the bits of `hidden`."""
    pixels = np.array(image)
    if pixels.ndim == 2:
        pixels = pixels[:, :, None]
    lines = pixels.swapaxes(0, 1) if in_columns else pixels
    stream = np.unpackbits(np.frombuffer(hidden, np.uint8), bitorder="big" if msb_first else "little")
    at = 0
    for place in np.ndindex(lines.shape[:2]):
        for channel in channels:
            for bit in range(bits - 1, -1, -1) if msb_first else range(bits):
                if at == stream.size:
                    changed = Image.frombytes(image.mode, image.size, pixels.tobytes())
                    if image.mode == "P":
                        changed.putpalette(image.getpalette() or [])
                    return changed
                value = int(lines[(*place, channel)])
                lines[(*place, channel)] = value & ~(1 << bit) | int(stream[at]) << bit
                at += 1
    raise ValueError("the image is too small")


def make_exif() -> Image.Exif:
    """Return an EXIF block with texts."""
    exif = Image.Exif()
    exif[0x010E] = TEXTS["EXIF ImageDescription"]
    exif[0x9C9C] = TEXTS["EXIF XPComment"].encode("utf-16-le") + b"\x00\x00"
    exif.get_ifd(0x8769)[0x9286] = b"ASCII\x00\x00\x00" + TEXTS["EXIF UserComment"].encode()
    return exif


def make_full_png() -> bytes:
    """Return a PNG with a text in each place of the format."""
    name = "B,G,R, 2 bits, msb-first, columns"
    hidden = TEXTS[name].encode() + b"\x00"
    image = hide_in_pixels(draw_grained(), (2, 1, 0), 2, hidden, msb_first=True, in_columns=True)
    info = PngImagePlugin.PngInfo()
    info.add_text("Author", TEXTS["tEXt 'Author'"])
    info.add_text("Long", TEXTS["zTXt 'Long'"], zip=True)
    info.add_itxt("XML:com.adobe.xmp", TEXTS["XMP"], zip=True)
    return encode(image, "PNG", pnginfo=info, exif=make_exif().tobytes()) + TEXTS["after the image's end"].encode()


def make_full_jpeg() -> bytes:
    """Return a JPEG with a text in each place of the format, and a thumbnail in its EXIF block."""
    records = struct.pack(">BBBH", 0x1C, 2, 120, len(TEXTS["IPTC caption"])) + TEXTS["IPTC caption"].encode()
    iptc = b"Photoshop 3.0\x008BIM\x04\x04\x00\x00" + struct.pack(">I", len(records)) + records + b"\x00"
    data = encode(
        draw_grained(), "JPEG", comment=TEXTS["comment"], xmp=TEXTS["XMP"].encode(), exif=add_thumbnail(make_exif())
    )
    segment = b"\xff\xed" + struct.pack(">H", len(iptc) + 2) + iptc
    return data[:2] + segment + data[2:] + TEXTS["after the image's end"].encode() + b"\x00"


def add_thumbnail(exif: Image.Exif) -> bytes:
    """Return the EXIF block with a thumbnail and its directory."""
    block = bytearray(exif.tobytes()[6:])
    order = "<" if block[:2] == b"II" else ">"
    (first,) = struct.unpack_from(order + "I", block, 4)
    (count,) = struct.unpack_from(order + "H", block, first)
    thumbnail = encode(draw_grained(size=16), "JPEG")
    struct.pack_into(order + "I", block, first + 2 + 12 * count, len(block))
    start = len(block) + 2 + 24 + 4
    block += struct.pack(order + "HHHIIHHII", 2, 0x0201, 4, 1, start, 0x0202, 4, 1, len(thumbnail)) + bytes(4)
    return b"Exif\x00\x00" + bytes(block) + thumbnail


def make_full_gif() -> bytes:
    """Return a GIF with a comment, and a text after its end."""
    stream = BytesIO()
    draw_grained("P").save(stream, "GIF", comment=TEXTS["comment"].encode())
    return stream.getvalue() + TEXTS["after the image's end"].encode()
