"""Writes a UserComment into an EXIF block, and the block into a file, without changing any other byte.

New directories are appended to the block, so that nothing moves that offsets point to: thumbnails and maker notes stay
valid (TIFF 6.0 section 2, CIPA DC-008, PNG third edition section 11.3, RFC 9649).
"""

import struct
import zlib
from typing import Final

from worker.v4.containers import EXIF_HEADER, PNG_SIGNATURE, Layout
from worker.v4.exif import CHARSETS, EXIF_IFD, USER_COMMENT, find_user_comment

# The maximum length of a JPEG segment, including its length field.
MAX_SEGMENT: Final = 65_535

_LONG, _UNDEFINED = 4, 7
_ENTRY: Final = 12
_EMPTY: Final = b"II*\x00\x08\x00\x00\x00" + bytes(6)
# Flags of an extended WebP file.
_WEBP_EXIF, _WEBP_ALPHA = 0x08, 0x10


class ExifError(ValueError):
    """The EXIF block cannot be written to; the message says why."""


def add_user_comment(block: bytes, comment: bytes) -> bytes:
    """Return the TIFF structure with this UserComment, of at least five bytes, added; an empty `block` gets a new one.

    Raises ExifError if there is a comment already, or the structure is damaged.
    """
    block = block or _EMPTY
    order = {b"II*\x00": "<", b"MM\x00*": ">"}.get(block[:4])
    if order is None:
        raise ExifError("its EXIF block is not a TIFF structure")
    known = bytes(find_user_comment(memoryview(block)))
    if (known[8:] if known[:8] in CHARSETS else known).strip(b"\x00 "):
        raise ExifError("it already has a UserComment")
    (main_at,) = struct.unpack_from(order + "I", block, 4)
    main, main_next = _read_directory(block, order, main_at)
    pointer = next((number for number, entry in enumerate(main) if _tag(order, entry) == EXIF_IFD), None)
    inner: list[bytes] = []
    inner_next = bytes(4)
    if pointer is not None:
        (inner_at,) = struct.unpack_from(order + "I", main[pointer], 8)
        inner, inner_next = _read_directory(block, order, inner_at)
    written = bytearray(block)
    written += bytes(len(written) % 2)
    value_at = len(written)
    written += comment + bytes(len(comment) % 2)
    entry = struct.pack(order + "HHII", USER_COMMENT, _UNDEFINED, len(comment), value_at)
    directory_at = len(written)
    written += _write_directory(order, _put(order, inner, entry), inner_next)
    if pointer is not None:
        struct.pack_into(order + "I", written, main_at + 2 + _ENTRY * pointer + 8, directory_at)
        return bytes(written)
    struct.pack_into(order + "I", written, 4, len(written))
    entry = struct.pack(order + "HHII", EXIF_IFD, _LONG, 1, directory_at)
    written += _write_directory(order, _put(order, main, entry), main_next)
    return bytes(written)


def put_into_jpeg(data: bytes, layout: Layout, block: bytes) -> bytes:
    """Return the JPEG with its EXIF block replaced by `block`, which must fit according to `count_spare_bytes`."""
    payload = EXIF_HEADER + block
    segment = b"\xff\xe1" + struct.pack(">H", len(payload) + 2) + payload
    if layout.exif_start:
        return data[: layout.exif_start - 10] + segment + data[layout.exif_end :]
    at = 2
    if data[2:4] == b"\xff\xe0":
        at += 2 + int.from_bytes(data[4:6], "big")
    return data[:at] + segment + data[at:]


def count_spare_bytes(container: str, block: bytes) -> int | None:
    """Return how many more bytes the EXIF block could have: negative if it is too large, None if there is no limit."""
    return MAX_SEGMENT - 2 - len(EXIF_HEADER) - len(block) if container == "jpeg" else None


def put_into_png(data: bytes, layout: Layout, block: bytes) -> bytes:
    """Return the PNG with its EXIF block replaced by `block`."""
    chunk = write_png_chunk(b"eXIf", block)
    if layout.exif_start:
        return data[: layout.exif_start - 8] + chunk + data[layout.exif_end + 4 :]
    at = len(PNG_SIGNATURE)
    while data[at + 4 : at + 8] not in (b"IDAT", b""):
        at += 12 + int.from_bytes(data[at : at + 4], "big")
    return data[:at] + chunk + data[at:]


def put_into_webp(data: bytes, layout: Layout, block: bytes, size: tuple[int, int], *, has_alpha: bool) -> bytes:
    """Return the WebP, of this width and height, with its EXIF block replaced by `block`."""
    chunks: list[tuple[bytes, bytes]] = []
    at = 12
    while at + 8 <= layout.end:
        length = int.from_bytes(data[at + 4 : at + 8], "little")
        chunks.append((data[at : at + 4], data[at + 8 : at + 8 + length]))
        at += 8 + length + length % 2
    if chunks[0][0] == b"VP8X":
        head = bytearray(chunks[0][1])
    else:
        sides = b"".join((side - 1).to_bytes(3, "little") for side in size)
        head = bytearray(bytes([_WEBP_ALPHA * has_alpha, 0, 0, 0]) + sides)
        chunks.insert(0, (b"VP8X", b""))
    head[0] |= _WEBP_EXIF
    chunks[0] = (b"VP8X", bytes(head))
    old = next((number for number, (kind, _) in enumerate(chunks) if kind == b"EXIF"), None)
    if old is not None:
        prefix = EXIF_HEADER if chunks[old][1].startswith(EXIF_HEADER) else b""
        chunks[old] = (b"EXIF", prefix + block)
    else:
        # The EXIF chunk must precede the XMP chunk.
        names = [kind for kind, _ in chunks]
        chunks.insert(names.index(b"XMP ") if b"XMP " in names else len(chunks), (b"EXIF", block))
    body = b"WEBP" + b"".join(
        kind + struct.pack("<I", len(content)) + content + bytes(len(content) % 2) for kind, content in chunks
    )
    return b"RIFF" + struct.pack("<I", len(body)) + body + data[layout.end :]


def write_png_chunk(kind: bytes, content: bytes) -> bytes:
    """Return a PNG chunk with its length and checksum."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def _read_directory(block: bytes, order: str, at: int) -> tuple[list[bytes], bytes]:
    """Return the entries of a directory, and the bytes of the offset of the next one."""
    if at + 2 > len(block):
        raise ExifError("its EXIF block is damaged")
    (count,) = struct.unpack_from(order + "H", block, at)
    end = at + 2 + _ENTRY * count
    if end + 4 > len(block) and count:
        raise ExifError("its EXIF block is damaged")
    return [block[start : start + _ENTRY] for start in range(at + 2, end, _ENTRY)], block[end : end + 4].ljust(4, b"\0")


def _write_directory(order: str, entries: list[bytes], behind: bytes) -> bytes:
    return struct.pack(order + "H", len(entries)) + b"".join(entries) + behind


def _put(order: str, entries: list[bytes], entry: bytes) -> list[bytes]:
    """Return the entries in the order of tags; `entry` replaces one with its tag."""
    kept = [each for each in entries if _tag(order, each) != _tag(order, entry)]
    return sorted([*kept, entry], key=lambda each: _tag(order, each))


def _tag(order: str, entry: bytes) -> int:
    return int(struct.unpack_from(order + "H", entry)[0])
