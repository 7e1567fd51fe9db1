"""Small archives that are expensive to unpack.

gzip and bzip2 streams may be concatenated, so large contents are made quickly from repeated streams.
"""

import bz2
import gzip
import io
import lzma
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable

from tests.kit.archives import describe_entry

MIB = 2**20
END = bytes(2 * tarfile.BLOCKSIZE)
XZ_HEADER_BYTES = 12


def encode_bzip2_member(size: int) -> bytes:
    """Return a ZIP with one member of `size` zeros, compressed with bzip2."""
    stream = io.BytesIO()
    with (
        zipfile.ZipFile(stream, "w", zipfile.ZIP_BZIP2) as archive,
        archive.open("bomb", "w", force_zip64=True) as member,
    ):
        for _ in range(size // (16 * MIB)):
            member.write(bytes(16 * MIB))
    return stream.getvalue()


def encode_equal_headers(count: int, size: int) -> bytes:
    """Return a compressed tar of `count` empty files, each with the same extended header of `size` bytes."""
    entry = describe_entry("file")
    entry.pax_headers = {"comment": "a" * size}
    block = entry.tobuf(tarfile.PAX_FORMAT)
    return bz2.compress(block) * count + bz2.compress(END)


def encode_circle(count: int) -> bytes:
    """Return a compressed tar of `count` symbolic links, each to the next one, and the last to the first."""
    links = (describe_entry(str(each), kind=tarfile.SYMTYPE, target=str((each + 1) % count)) for each in range(count))
    return gzip.compress(b"".join(link.tobuf() for link in links) + END)


def encode_headers(count: int, kind: bytes = tarfile.REGTYPE) -> bytes:
    """Return a compressed tar of `count` equal headers of this kind, without data."""
    thousand = bz2.compress(describe_entry("file", kind=kind).tobuf() * 1000)
    return thousand * (count // 1000) + bz2.compress(END)


def encode_sparse(count: int, size: int) -> bytes:
    """Return a compressed tar of `count` sparse files: each declares `size` bytes, but stores one."""
    members = []
    for number in range(count):
        entry = describe_entry(f"sparse{number}", 1)
        entry.pax_headers = {
            "GNU.sparse.map": f"{size - 1},1", "GNU.sparse.size": str(size), "GNU.sparse.name": f"sparse{number}",
        }  # fmt: skip
        members += [entry.tobuf(tarfile.PAX_FORMAT), bytes([number % 256]) + bytes(511)]
    return gzip.compress(b"".join(members) + END)


def encode_sparse_map(blocks: int) -> bytes:
    """Return a compressed tar of one sparse file in the old GNU format, whose map has `blocks` blocks."""
    header = bytearray(describe_entry("sparse", 0, tarfile.GNUTYPE_SPARSE).tobuf(tarfile.GNU_FORMAT))
    header[482] = 1
    header[148:156] = b"%06o\0 " % (sum(header[:148]) + sum(header[156:512]) + 8 * ord(" "))
    block = b"00000000001\0" * 42 + b"\1" + bytes(7)
    return bz2.compress(bytes(header)) + bz2.compress(block * 2048) * (blocks // 2048) + bz2.compress(END)


def encode_directory(count: int) -> bytes:
    """Return a ZIP that consists only of a directory with `count` entries."""
    entry = struct.pack("<4s4B4HL2L5H2L", b"PK\1\2", 20, 3, 20, 0, *[0] * 4, *[0] * 3, 1, *[0] * 4, 0, 0) + b"a"
    directory = entry * count
    return directory + struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, count % 65536, count % 65536, len(directory), 0, 0)


def encode_overlapping(count: int, size: int) -> bytes:
    """Return a ZIP whose `count` entries all refer to the same deflated member of `size` zeros."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a", bytes(size))
        archive.filelist *= count
    return stream.getvalue()


def encode_dictionary() -> bytes:
    """Return a tar.xz that requires a dictionary of 1.5 GiB."""
    packed = bytearray(lzma.compress(describe_entry("file").tobuf() + END, preset=0))
    length = 4 * (packed[XZ_HEADER_BYTES] + 1)
    block = packed[XZ_HEADER_BYTES : XZ_HEADER_BYTES + length]
    # After the block's length and flags: the filter id, the length of its properties, and the size of the dictionary.
    block[4] = 37
    block[-4:] = struct.pack("<L", zlib.crc32(block[:-4]))
    packed[XZ_HEADER_BYTES : XZ_HEADER_BYTES + length] = block
    return bytes(packed)


def encode_zeros(size: int, compress: Callable[[bytes], bytes]) -> bytes:
    """Return a compressed tar of one member of `size` zeros."""
    header = describe_entry("zeros", size).tobuf()
    return compress(header) + compress(bytes(64 * MIB)) * (size // (64 * MIB)) + compress(END)
