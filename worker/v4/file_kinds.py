"""Recognises the kind of a file by its first bytes, and its end if the format has one.

Sources: the formats' specifications (APPNOTE for zip, RFC 1950, 1952, 8878 and 9580, those of PNG, GIF and JPEG), and
the output of OpenSSL's `enc` and of age.
"""

import re
import zlib
from collections.abc import Callable
from typing import Final

from starlight_vocabulary.payload import PayloadKind
from worker.v4.containers import survey

_MAGICS: Final = (
    (b"PK\x03\x04", PayloadKind.ZIP), (b"PK\x05\x06", PayloadKind.ZIP), (b"7z\xbc\xaf\x27\x1c", PayloadKind.SEVEN_ZIP),
    (b"Rar!\x1a\x07", PayloadKind.RAR), (b"\x1f\x8b\x08", PayloadKind.GZIP), (b"\xfd7zXZ\x00", PayloadKind.XZ),
    (b"\x28\xb5\x2f\xfd", PayloadKind.ZSTD), (b"%PDF-", PayloadKind.PDF), (b"\x89PNG\r\n\x1a\n", PayloadKind.PNG),
    (b"\xff\xd8\xff", PayloadKind.JPEG), (b"GIF87a", PayloadKind.GIF), (b"GIF89a", PayloadKind.GIF),
    (b"\x7fELF", PayloadKind.ELF), (b"#!/", PayloadKind.SCRIPT), (b"Salted__", PayloadKind.OPENSSL),
    (b"-----BEGIN PGP ", PayloadKind.PGP), (b"age-encryption.org/v1", PayloadKind.AGE),
    (b"-----BEGIN AGE ENCRYPTED FILE-----", PayloadKind.AGE),
)  # fmt: skip
_FIRST_BYTES: Final = frozenset(magic[0] for magic, _ in _MAGICS) | frozenset(b"\x78BMR\x84\x85\x8c\xc1\xc3")
_BZIP2: Final = re.compile(rb"BZh[1-9](?:1AY&SY|\x17\x72\x45\x38\x50\x90)", re.DOTALL)
_ZLIB: Final = re.compile(rb"\x78[\x01\x5e\x9c\xda]")
# The packet with a session key that starts every encrypted message: old or new format, and its version.
_PGP: Final = re.compile(
    rb"\x84.\x03|\x85..\x03|\x8c.\x04|\xc1.[\x03\x06]|\xc1[\xc0-\xdf].[\x03\x06]|\xc3.[\x04-\x06]", re.DOTALL
)
# Signatures that are unlikely to occur by chance at any offset.
_STRONG: Final = re.compile(
    rb"PK\x03\x04|7z\xbc\xaf\x27\x1c|Rar!\x1a\x07|\xfd7zXZ\x00|%PDF-1|\x89PNG\r\n\x1a\n|\x7fELF[\x01\x02]|Salted__"
    rb"|-----BEGIN PGP |age-encryption\.org/v1|-----BEGIN AGE "
    rb"|\x1f\x8b\x08[\x00-\x1f].{4}[\x00\x02\x04][\x00-\x0d\xff]",
    re.DOTALL,
)
_ZIP_END: Final = b"PK\x05\x06"
_ZIP_END_BYTES: Final = 22
TAR_BLOCK: Final = 512
_TAR_CHECKSUM: Final = slice(148, 156)
# The window bits that zlib takes for each format.
_WINDOWS: Final = {PayloadKind.ZLIB: 15, PayloadKind.GZIP: 31}
_UNPACKED_BYTES: Final = 2**20
# How many bytes are decompressed to check whether they are a zlib stream.
_TRIED_BYTES: Final = 4096


def recognise_kind(data: bytes, start: int = 0, *, is_sought: bool = False) -> PayloadKind | None:
    """Return the kind of the file that begins at `start`, None if it is none of the known kinds.

    `is_sought` says that many offsets are tried; PGP is then left out, as its three bytes occur by chance.
    """
    if start >= len(data):
        return None
    if data[start] in _FIRST_BYTES:
        for magic, kind in _MAGICS:
            if data.startswith(magic, start):
                return kind
        for matches, kind in _LOOKS:
            if matches(data, start):
                return kind
        if not is_sought and _PGP.match(data, start):
            return PayloadKind.PGP
    return PayloadKind.TAR if _is_tar(data, start) else None


def find_strong_kind(data: bytes) -> tuple[int, PayloadKind] | None:
    """Return offset and kind of the first file whose signature is unlikely to occur by chance."""
    found = _STRONG.search(data)
    kind = recognise_kind(data, found.start()) if found else None
    return (found.start(), kind) if found and kind else None


def find_end(data: bytes, kind: PayloadKind) -> int | None:
    """Return the size of the file of this kind at the start of `data`, None if it is unknown."""
    if kind is PayloadKind.ZIP:
        at = data.find(_ZIP_END)
        if at < 0 or at + _ZIP_END_BYTES > len(data):
            return None
        end = at + _ZIP_END_BYTES + int.from_bytes(data[at + 20 : at + 22], "little")
        return end if end <= len(data) else None
    if kind in (PayloadKind.PNG, PayloadKind.GIF, PayloadKind.JPEG, PayloadKind.WEBP):
        end = survey(data).end
        return end if end < len(data) else None
    if kind is PayloadKind.PDF:
        at = data.rfind(b"%%EOF")
        return at + 5 if at >= 0 else None
    if kind in _WINDOWS:
        unpacker = zlib.decompressobj(_WINDOWS[kind])
        try:
            unpacker.decompress(data, _UNPACKED_BYTES)
        except zlib.error:
            return None
        return len(data) - len(unpacker.unused_data) if unpacker.eof else None
    return None


def _is_zlib(data: bytes, start: int) -> bool:
    if not _ZLIB.match(data, start):
        return False
    try:
        return bool(zlib.decompressobj().decompress(data[start : start + _TRIED_BYTES], 16))
    except zlib.error:
        return False


def _is_exe(data: bytes, start: int) -> bool:
    if not data.startswith(b"MZ", start):
        return False
    header = int.from_bytes(data[start + 60 : start + 64], "little")
    return data.startswith(b"PE\x00\x00", start + header)


def _is_webp(data: bytes, start: int) -> bool:
    return data.startswith(b"RIFF", start) and data.startswith(b"WEBP", start + 8)


_LOOKS: Final[tuple[tuple[Callable[[bytes, int], object], PayloadKind], ...]] = (
    (_BZIP2.match, PayloadKind.BZIP2), (_is_zlib, PayloadKind.ZLIB), (_is_exe, PayloadKind.EXE),
    (_is_webp, PayloadKind.WEBP),
)  # fmt: skip


def _is_tar(data: bytes, start: int) -> bool:
    block = data[start : start + TAR_BLOCK]
    if len(block) < TAR_BLOCK or not block[:1].strip(b"\x00"):
        return False
    stated = block[_TAR_CHECKSUM].strip(b" \x00")
    if not re.fullmatch(rb"[0-7]{1,7}", stated):
        return False
    return int(stated, 8) == sum(block) - sum(block[_TAR_CHECKSUM]) + 8 * 0x20
