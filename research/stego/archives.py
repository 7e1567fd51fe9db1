"""Makes files to append to pictures or hide in them: archives, documents, pictures, programs, encrypted files.

Archives are written by their libraries; formats without a suitable library (RAR, programs, encrypted files) follow
their published structure.
"""

import bz2
import gzip
import io
import lzma
import os
import struct
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np

from research.stego.drawn import draw_picture
from research.stego.encrypted import make_age, make_openssl, make_pgp
from research.stego.headers import draw_name
from research.stego.payloads import draw_text
from research.stego.programs import make_elf, make_exe, make_script
from research.stego.rar import make_rar

Rng = np.random.Generator

NEEDED: Final = "archives of this kind need py7zr and zstandard: install the project as pip install '.[research]' does"


def make_file(rng: Rng, kind: str, size: int) -> bytes:
    """Make a file of one of `FILE_KINDS` with about `size` bytes of content.

    Raises `RuntimeError` if a library that the kind needs is not installed.
    """
    return FILE_KINDS[kind](rng, size)


def draw_content(rng: Rng, size: int) -> bytes:
    """Draw the content of a file in an archive: mostly text, otherwise random bytes."""
    return draw_text(rng, size) if rng.random() < 0.75 else rng.bytes(size)


def _date(rng: Rng) -> tuple[int, int, int, int, int, int]:
    return (int(rng.integers(1990, 2027)), int(rng.integers(1, 13)), int(rng.integers(1, 29)),
            int(rng.integers(24)), int(rng.integers(60)), int(rng.integers(30)) * 2)  # fmt: skip


def _zip(rng: Rng, size: int, method: int, content: bytes | None = None) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for _ in range(int(rng.integers(1, 4)) if content is None else 1):
            info = zipfile.ZipInfo(_path(rng), _date(rng))
            info.compress_type = method
            info.create_system = int(rng.choice([0, 3]))
            info.external_attr = 0o644 << 16 if info.create_system else 0x20
            archive.writestr(info, draw_content(rng, size) if content is None else content)
    return buffer.getvalue()


def _path(rng: Rng) -> str:
    return (b"/".join(draw_name(rng) for _ in range(int(rng.integers(1, 3))))).decode()


def _zip_encrypted(rng: Rng, size: int) -> bytes:
    """Make an archive whose only member is marked as encrypted: ZipCrypto or AES (APPNOTE 4.4.4, AE-2)."""
    data = bytearray(_zip(rng, size, zipfile.ZIP_STORED, rng.bytes(size + 12)))
    central = data.rindex(b"PK\x01\x02")
    flags = 1 | (8 if rng.random() < 0.5 else 0)
    method = 99 if rng.random() < 0.5 else int(rng.choice([0, 8]))
    struct.pack_into("<HHH", data, 4, 51 if method == 99 else 20, flags, method)
    struct.pack_into("<HHH", data, central + 6, 51 if method == 99 else 20, flags, method)
    return bytes(data)


def _seven_zip(rng: Rng, size: int) -> bytes:
    try:
        import py7zr
    except ImportError as error:
        raise RuntimeError(NEEDED) from error
    buffer = io.BytesIO()
    filters = [{"id": py7zr.FILTER_LZMA2, "preset": int(rng.integers(0, 4))}]
    with tempfile.TemporaryDirectory() as folder, py7zr.SevenZipFile(buffer, "w", filters=filters) as archive:
        path = Path(folder) / "member"
        # The archive stores the modification time, which must come from the seed.
        path.write_bytes(draw_content(rng, size))
        path.chmod(0o644)
        os.utime(path, (0, int(rng.integers(10**9, 1_750_000_000))))
        archive.write(path, _path(rng))
    return buffer.getvalue()


def _gzip(rng: Rng, size: int) -> bytes:
    buffer = io.BytesIO()
    name = draw_name(rng).decode() if rng.random() < 0.6 else ""
    level, moment = int(rng.choice([1, 6, 9])), int(rng.integers(0, 1_750_000_000)) * int(rng.random() < 0.7)
    with gzip.GzipFile(name, "wb", level, buffer, mtime=moment) as archive:
        archive.write(draw_content(rng, size))
    return buffer.getvalue()


def _bzip2(rng: Rng, size: int) -> bytes:
    return bz2.compress(draw_content(rng, size), int(rng.choice([1, 6, 9, 9])))


def _xz(rng: Rng, size: int) -> bytes:
    check = int(rng.choice([lzma.CHECK_CRC64, lzma.CHECK_CRC32, lzma.CHECK_SHA256]))
    return lzma.compress(draw_content(rng, size), lzma.FORMAT_XZ, check, preset=int(rng.integers(0, 3)))


def _zlib(rng: Rng, size: int) -> bytes:
    return zlib.compress(draw_content(rng, size), int(rng.choice([1, 3, 6, 6, 9])))


def _zstd(rng: Rng, size: int) -> bytes:
    try:
        import zstandard
    except ImportError as error:
        raise RuntimeError(NEEDED) from error
    checksum = bool(rng.random() < 0.5)
    known = bool(rng.random() < 0.7)
    level = int(rng.choice([1, 3, 3, 9]))
    compressor = zstandard.ZstdCompressor(level, write_checksum=checksum, write_content_size=known)
    return bytes(compressor.compress(draw_content(rng, size)))


def _tar(rng: Rng, size: int) -> bytes:
    buffer = io.BytesIO()
    form = (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT)[rng.integers(3)]
    with tarfile.open(fileobj=buffer, mode="w", format=form) as archive:
        for _ in range(int(rng.integers(1, 3))):
            content = draw_content(rng, size)
            info = tarfile.TarInfo(_path(rng))
            info.size, info.mtime, info.mode = len(content), int(rng.integers(10**9, 1_750_000_000)), 0o644
            info.uid = info.gid = int(rng.choice([0, 1000]))
            info.uname = info.gname = ("", "root", "user")[rng.integers(3)]
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def _pdf(rng: Rng, size: int) -> bytes:
    parts = [
        b"%%PDF-1.%d\n" % rng.integers(2, 8),
        (b"%\xe2\xe3\xcf\xd3\n", b"%\xc7\xec\x8f\xa2\n", b"")[rng.integers(3)],
    ]
    stream = zlib.compress(b"BT /F1 12 Tf 72 720 Td (" + draw_text(rng, size) + b") Tj ET")
    objects = (
        b"<< /Type /Catalog /Pages 2 0 R >>", b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R >>",
        b"<< /Length %d /Filter /FlateDecode >>\nstream\n%s\nendstream" % (len(stream), stream),
    )  # fmt: skip
    offsets = []
    for number, content in enumerate(objects, 1):
        offsets.append(sum(map(len, parts)))
        parts.append(b"%d 0 obj\n%s\nendobj\n" % (number, content))
    start = sum(map(len, parts))
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    parts.append(b"xref\n0 5\n0000000000 65535 f \n" + table + b"trailer\n<< /Size 5 /Root 1 0 R >>\n")
    return b"".join(parts) + b"startxref\n%d\n%%%%EOF" % start + (b"\n", b"", b"\r\n")[rng.integers(3)]


def _picture(format_name: str) -> Callable[[Rng, int], bytes]:
    def make(rng: Rng, size: int) -> bytes:
        side = int(np.clip(size**0.5, 8, 160) * rng.uniform(0.7, 2.0))
        picture = draw_picture(rng, None, (side, max(8, int(side * rng.uniform(0.5, 1.5)))))
        buffer = io.BytesIO()
        if format_name == "JPEG":
            picture.save(buffer, "JPEG", quality=int(rng.integers(40, 97)), progressive=bool(rng.random() < 0.2))
        else:
            picture = picture.convert(("RGB", "RGBA", "L")[rng.integers(3)]) if format_name == "PNG" else picture
            picture.save(buffer, format_name)
        return buffer.getvalue()

    return make


FILE_KINDS: Final[dict[str, Callable[[Rng, int], bytes]]] = {
    "zip, stored": lambda rng, size: _zip(rng, size, zipfile.ZIP_STORED),
    "zip, deflated": lambda rng, size: _zip(rng, size, zipfile.ZIP_DEFLATED),
    "zip, encrypted": _zip_encrypted,
    "7z": _seven_zip,
    "rar": make_rar,
    "gzip": _gzip,
    "bzip2": _bzip2,
    "xz": _xz,
    "zlib": _zlib,
    "zstd": _zstd,
    "tar": _tar,
    "pdf": _pdf,
    "png": _picture("PNG"),
    "jpeg": _picture("JPEG"),
    "gif": _picture("GIF"),
    "elf": make_elf,
    "exe": make_exe,
    "script": make_script,
    "openssl": make_openssl,
    "pgp": make_pgp,
    "age": make_age,
}
"""Functions that make a file from a generator and an approximate size of its content in bytes."""
