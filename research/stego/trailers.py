"""Draws harmless bytes after the end of clean pictures: records, padding, previews, videos, broken downloads."""

import io
import struct
from collections.abc import Callable
from typing import Final

import numpy as np
from PIL import Image

from research.stego.drawn import draw_picture
from research.stego.metadata import draw_exif
from worker.v4.containers import survey

Rng = np.random.Generator

_LONG_SCAN: Final = 256
"""Bytes of a scan that can mostly be told from ciphertext: as many random ones have a 255 without a zero after it."""
_STUFFED: Final = 2
"""Bytes 255 in a piece that are each followed by a zero, as ciphertext hardly ever has."""


def append_harmless(rng: Rng, data: bytes) -> bytes:
    """Return the image file `data` with harmless bytes after its end, which its header may declare."""
    if data.startswith(b"\xff\xd8") and rng.random() < 0.35:
        return _DECLARED[rng.integers(len(_DECLARED))](rng, data)
    return data + draw_trailing(rng, data)


def declare_harmless(rng: Rng, data: bytes) -> bytes:
    """Return a JPEG that declares companions it lacks: editors remove them and leave the declaration."""
    if not data.startswith(b"\xff\xd8"):
        return data
    whole = _DECLARED[rng.integers(len(_DECLARED))](rng, data)
    return whole[: survey(whole).end]


def _multi_picture(rng: Rng, data: bytes) -> bytes:
    """Append one to three JPEGs that a multi-picture index declares (CIPA DC-007): previews, gain and depth maps."""
    pictures = [_noisy_jpeg(rng) for _ in range(int(rng.choice([1, 1, 1, 2, 3])))]
    gap = int(rng.choice([0, 0, 0, 2, 60, 512]))
    order = "<" if rng.random() < 0.4 else ">"
    count = len(pictures) + 1
    size = 4 + 8 + 2 + 3 * 12 + 4 + 16 * count
    at = _after_headers(data)
    head = at + 4  # where the marker's content, `MPF` and a zero byte, starts
    base = head + 4
    whole = len(data) + size + 4
    entries = struct.pack(order + "IIIHH", 0x030000 if order == ">" else 0x20030000, whole, 0, 0, 0)
    # Programs that edit the header move the pictures and leave the index unchanged.
    place = whole + gap + (int(rng.integers(-2000, 4000)) if rng.random() < 0.25 else 0)
    for picture in pictures:
        entries += struct.pack(
            order + "IIIHH", int(rng.choice([0, 0x10001, 0x10002, 0x20001])), len(picture), max(1, place - base), 0, 0
        )
        place += len(picture) + gap
    index = (b"II*\x00" if order == "<" else b"MM\x00*") + struct.pack(order + "I", 8) + struct.pack(order + "H", 3)
    index += struct.pack(order + "HHI4s", 0xB000, 7, 4, b"0100") + struct.pack(order + "HHII", 0xB001, 4, 1, count)
    index += struct.pack(order + "HHII", 0xB002, 7, 16 * count, 50) + bytes(4) + entries
    if rng.random() < 0.1:
        index = index[: int(rng.integers(4, len(index)))]
    segment = b"\xff\xe2" + (len(index) + 6).to_bytes(2, "big") + b"MPF\x00" + index
    tail = b"".join(bytes(gap) + picture for picture in pictures)
    return data[:at] + segment + data[at:] + tail + (b"", b"", b"\x00" * 60)[rng.integers(3)]


def _declared_by_xmp(rng: Rng, data: bytes) -> bytes:
    """Append a video or a gain map that an XMP packet declares, as Google's cameras do."""
    if rng.random() < 0.5:
        tail, kind = motion_photo(rng, int(2 ** rng.uniform(5, 13))), "video/mp4"
    else:
        tail, kind = _noisy_jpeg(rng), "image/jpeg"
    if kind == "video/mp4" and rng.random() < 0.5:
        inner = f'GCamera:MicroVideo="1" GCamera:MicroVideoVersion="1" GCamera:MicroVideoOffset="{len(tail)}"'
    else:
        name = "MotionPhoto" if kind == "video/mp4" else "GainMap"
        mark = 'GCamera:MotionPhoto="1"' if kind == "video/mp4" else 'hdrgm:Version="1.0"'
        inner = (
            f'{mark}><Container:Directory><rdf:Seq><rdf:li rdf:parseType="Resource"><Container:Item '
            f'Item:Semantic="Primary" Item:Mime="image/jpeg"/></rdf:li><rdf:li rdf:parseType="Resource">'
            f'<Container:Item Item:Semantic="{name}" Item:Mime="{kind}" Item:Length="{len(tail)}"/></rdf:li></rdf:Seq>'
            f"</Container:Directory"
        )
    packet = (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/" x:xmptk="Adobe XMP Core 5.1.0-jc003"><rdf:RDF><rdf:Description '
        f"{inner}></rdf:Description></rdf:RDF></x:xmpmeta>"
    )
    body = b"http://ns.adobe.com/xap/1.0/\x00" + packet.encode()
    at = _after_headers(data)
    return data[:at] + b"\xff\xe1" + (len(body) + 2).to_bytes(2, "big") + body + data[at:] + tail


def _camera_preview(rng: Rng, data: bytes) -> bytes:
    """Append a small preview, as older cameras do, and add a camera's EXIF."""
    exif = draw_exif(rng, with_comment=False)
    exif[0x010F], exif[0x0110] = ("Canon", "SONY", "PENTAX", "OLYMPUS", "NIKON")[rng.integers(5)], "Camera"
    picture, buffer = Image.open(io.BytesIO(data)), io.BytesIO()
    picture.save(buffer, "JPEG", quality="keep", exif=exif)
    side = ((160, 120), (120, 160), (160, 160))[rng.integers(3)]
    preview = io.BytesIO()
    draw_picture(rng, "photo", side).save(preview, "JPEG", quality=int(rng.integers(40, 80)))
    # Previews have no JFIF header.
    small = preview.getvalue()[:2] + preview.getvalue()[20:]
    return buffer.getvalue() + bytes(int(rng.choice([0, 2, 16, 100]))) + small


def _after_headers(data: bytes) -> int:
    """Return the offset for further segments: after those of JFIF and EXIF, which come first."""
    at = 2
    while data[at : at + 2] in (b"\xff\xe0", b"\xff\xe1"):
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return at


def _repeated(rng: Rng, data: bytes) -> bytes:
    """Repeat the file itself, whole or in part, like a download that was resumed wrongly."""
    roll = rng.random()
    cut = int(rng.integers(1, len(data)))
    if roll < 0.4:
        return data
    return data[:cut] if roll < 0.7 else data[cut:]


def _apple(rng: Rng, data: bytes) -> bytes:
    """Draw a binary property list or an AppleDouble header, as Apple's programs write them."""
    del data
    if rng.random() < 0.6:
        names = (b"version", b"timescale", b"value", b"flags", b"epoch", b"kind", b"identifier", b"adjustmentData")
        parts = [
            bytes([0x50 + len(names[n])]) + names[n] for n in rng.integers(len(names), size=int(rng.integers(2, 9)))
        ]
        body = bytes([0xD0 + len(parts) // 2]) + bytes(range(1, len(parts) + 1)) + b"".join(parts)
        body += b"\x10" + rng.bytes(1) + b"\x12" + rng.bytes(4)
        offsets = bytes(int(value) for value in np.sort(rng.integers(8, 120, len(parts) + 3)))
        return (
            b"bplist00"
            + body
            + offsets
            + bytes(6)
            + b"\x01\x01"
            + bytes(7)
            + bytes([len(parts) + 3])
            + bytes(15)
            + b"\x60"
        )
    return b"\x00\x05\x16\x07\x00\x02\x00\x00Mac OS X        " + bytes(2) + b"\x02" + rng.bytes(8) + bytes(60)


def draw_trailing(rng: Rng, data: bytes) -> bytes:
    """Draw harmless bytes to append to the image file `data`."""
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
    size = min(len(older) * 3 // 4, int(2 ** rng.uniform(3, 12)))
    return older[-size:]


def _cut_scan(rng: Rng, data: bytes) -> bytes:
    """Take a piece from the middle of compressed image data, as in frames cut from videos."""
    if rng.random() < 0.25:
        return _scan_to_zero(rng, data)
    size = int(2 ** rng.uniform(2, 11))
    picture = data if len(data) > 2 * size else b""
    picture = _with_end_mark(rng, picture)
    start = int(rng.integers(len(picture) // 4, max(len(picture) // 4 + 1, len(picture) - size)))
    piece = picture[start : start + size]
    return piece + (b"", b"", b"\xff\xd9", b"\x00\x00\x01")[rng.integers(4)]


def _scan_to_zero(rng: Rng, data: bytes) -> bytes:
    """Take a piece of a JPEG's scan that ends in a zero byte and differs from ciphertext.

    In a scan, every byte 255 is followed by a zero; if there are too few in the piece, it does not end in one.
    """
    picture = data if data.startswith(b"\xff\xd8") and len(data) > 4 * _LONG_SCAN else _textured_jpeg(rng)
    scan = picture[picture.rfind(b"\xff\xda") + 14 : -2]
    size = int(2 ** rng.uniform(np.log2(_LONG_SCAN), 11.5))
    ends = np.flatnonzero(np.frombuffer(scan, np.uint8)[_LONG_SCAN - 1 :] == 0) + _LONG_SCAN
    if ends.size == 0:
        return scan[:size]
    end = int(ends[rng.integers(ends.size)])
    piece = scan[max(0, end - size) : end]
    return piece if piece.count(b"\xff\x00") >= _STUFFED else piece.rstrip(b"\x00")


def _with_end_mark(rng: Rng, data: bytes) -> bytes:
    """Return the file, or a JPEG instead if its format has no end mark: such remains follow end marks only."""
    return data if data.startswith((b"\xff\xd8", b"\x89PNG", b"GIF8")) else _noisy_jpeg(rng)


def _noisy_jpeg(rng: Rng) -> bytes:
    side = int(rng.integers(16, 96))
    coarse = rng.integers(0, 256, (4, 4, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    picture = Image.fromarray(coarse).resize((side, side))
    exif = draw_exif(rng, with_comment=False) if rng.random() < 0.5 else Image.Exif()
    picture.save(buffer, "JPEG", quality=int(rng.integers(50, 98)), exif=exif)
    return buffer.getvalue()


def _textured_jpeg(rng: Rng) -> bytes:
    """Draw a JPEG whose scan has a few kilobytes."""
    side = int(rng.integers(64, 160))
    grain = rng.normal(0, rng.uniform(4, 24), (side, side, 1))
    pixels = np.asarray(draw_picture(rng, "photo", (side, side)), np.float64) + grain
    buffer = io.BytesIO()
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(buffer, "JPEG", quality=int(rng.integers(70, 98)))
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
    """Draw the records that Samsung phones append, followed by a directory and `SEFT`."""
    del data
    names = (
        b"Image_UTC_Data", b"MCC_Data", b"Camera_Capture_Mode_Info", b"Color_Display_P3", b"Video_Call_Mode",
        b"Camera_Scene_Info", b"PhotoEditor_Re_Edit_Data", b"Original_Path_Hash_Key", b"Capture_Info",
        b"Watermark_Info", b"MotionPhoto_Data", b"DualShot_Meta_Info", b"SEF_Info",
    )  # fmt: skip
    records, places = b"", b""
    count = int(rng.integers(1, 6))
    for name in (names[index] for index in rng.integers(len(names), size=count)):
        kind = b"\x00\x00" + rng.bytes(2)
        value = str(rng.integers(10**12)).encode()
        if b"Re_Edit" in name:
            value = (
                b'{"originalPath":"/data/sec/photoeditor/0/storage/emulated/0/DCIM/Camera/%d.jpg","representativeFrameLoc":-1,"startMotionVideo":-1}'
                % rng.integers(10**9)
            )
        elif b"MotionPhoto" in name:
            value = motion_photo(rng, int(2 ** rng.uniform(4, 11)))
        record = kind + len(name).to_bytes(4, "little") + name + value
        records += record
        places += kind + len(record).to_bytes(4, "little") * 2
    directory = b"SEFH" + (107).to_bytes(4, "little") + count.to_bytes(4, "little") + places
    return records + directory + len(directory).to_bytes(4, "little") + b"SEFT"


def _records(rng: Rng, data: bytes) -> bytes:
    """Draw binary structures of cameras and editors: tags, lengths, small numbers and some words."""
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
    """Draw repeated patterns of bytes: fillers, counters, tables."""
    del data
    unit = rng.integers(0, 256, int(rng.integers(1, 17)), dtype=np.uint8).tobytes()
    step = int(rng.integers(0, 4))
    count = int(2 ** rng.uniform(1, 8))
    return b"".join(bytes((value + step * turn) & 255 for value in unit) for turn in range(count))


_TRAILERS: Final[tuple[Callable[[Rng, bytes], bytes], ...]] = (
    _zeros, _zeros, _second_end, _leftover, _leftover, _cut_scan, _cut_scan, _movie, _movie, _samsung, _samsung,
    _records, _patterned, _repeated, _repeated, _apple,
)  # fmt: skip
_DECLARED: Final[tuple[Callable[[Rng, bytes], bytes], ...]] = (
    _multi_picture, _multi_picture, _declared_by_xmp, _camera_preview,
)  # fmt: skip
"""Functions that return the whole file, with a header that declares or suggests the bytes after the picture."""

HARMLESS_KINDS: Final = {
    "padding": _zeros,
    "second end mark": _second_end,
    "end of an older file": _leftover,
    "cut video frame": _cut_scan,
    "motion photo": _movie,
    "Samsung's records": _samsung,
    "camera's records": _records,
    "pattern": _patterned,
    "download repeated": _repeated,
    "Apple's records": _apple,
    "multi-picture file": _multi_picture,
    "pictures or video declared in XMP": _declared_by_xmp,
    "camera's preview": _camera_preview,
}
"""Kinds of harmless bytes after the end, by their names in reports."""
DECLARED_KINDS: Final = frozenset(("multi-picture file", "pictures or video declared in XMP", "camera's preview"))
"""Kinds that need a JPEG, whose header declares them."""


def append_kind(rng: Rng, data: bytes, kind: str) -> bytes:
    """Return the image file `data` with harmless bytes of one of `HARMLESS_KINDS`; `DECLARED_KINDS` need a JPEG."""
    made = HARMLESS_KINDS[kind](rng, data)
    return made if kind in DECLARED_KINDS else data + made
