"""Archives that are small, and made to cost much.

What is packed with gzip or bzip2 may stand one after the other, so that much is packed in little time.
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
    """Return a ZIP with one member of zeros, packed with bzip2."""
    stream = io.BytesIO()
    with (
        zipfile.ZipFile(stream, "w", zipfile.ZIP_BZIP2) as archive,
        archive.open("bomb", "w", force_zip64=True) as member,
    ):
        for _ in range(size // (16 * MIB)):
            member.write(bytes(16 * MIB))
    return stream.getvalue()


def encode_equal_headers(count: int, size: int) -> bytes:
    """Return a packed tar of empty files, each with the same extended header of so many bytes."""
    entry = describe_entry("file")
    entry.pax_headers = {"comment": "a" * size}
    block = entry.tobuf(tarfile.PAX_FORMAT)
    return bz2.compress(block) * count + bz2.compress(END)


def encode_circle(count: int) -> bytes:
    """Return a packed tar of so many symbolic links, each to the next one, and the last to the first."""
    links = (describe_entry(str(each), kind=tarfile.SYMTYPE, target=str((each + 1) % count)) for each in range(count))
    return gzip.compress(b"".join(link.tobuf() for link in links) + END)


def encode_headers(count: int, kind: bytes = tarfile.REGTYPE) -> bytes:
    """Return a packed tar of so many equal headers of this kind, with nothing behind them."""
    thousand = bz2.compress(describe_entry("file", kind=kind).tobuf() * 1000)
    return thousand * (count // 1000) + bz2.compress(END)


def encode_sparse(count: int, size: int) -> bytes:
    """Return a packed tar of files of a byte each, which say that they have so many, the others being zeros."""
    members = []
    for number in range(count):
        entry = describe_entry(f"sparse{number}", 1)
        entry.pax_headers = {
            "GNU.sparse.map": f"{size - 1},1", "GNU.sparse.size": str(size), "GNU.sparse.name": f"sparse{number}",
        }  # fmt: skip
        members += [entry.tobuf(tarfile.PAX_FORMAT), bytes([number % 256]) + bytes(511)]
    return gzip.compress(b"".join(members) + END)


def encode_sparse_map(blocks: int) -> bytes:
    """Return a packed tar of one old sparse file, with so many blocks of its map."""
    header = bytearray(describe_entry("sparse", 0, tarfile.GNUTYPE_SPARSE).tobuf(tarfile.GNU_FORMAT))
    header[482] = 1
    header[148:156] = b"%06o\0 " % (sum(header[:148]) + sum(header[156:512]) + 8 * ord(" "))
    block = b"00000000001\0" * 42 + b"\1" + bytes(7)
    return bz2.compress(bytes(header)) + bz2.compress(block * 2048) * (blocks // 2048) + bz2.compress(END)


def encode_directory(count: int) -> bytes:
    """Return a ZIP that is a directory of so many entries, and nothing else."""
    entry = struct.pack("<4s4B4HL2L5H2L", b"PK\1\2", 20, 3, 20, 0, *[0] * 4, *[0] * 3, 1, *[0] * 4, 0, 0) + b"a"
    directory = entry * count
    return directory + struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, count % 65536, count % 65536, len(directory), 0, 0)


def encode_overlapping(count: int, size: int) -> bytes:
    """Return a ZIP whose entries are all the same deflated member of zeros."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a", bytes(size))
        archive.filelist *= count
    return stream.getvalue()


def encode_dictionary() -> bytes:
    """Return a packed tar whose compression asks for a dictionary of 1.5 GiB."""
    packed = bytearray(lzma.compress(describe_entry("file").tobuf() + END, preset=0))
    length = 4 * (packed[XZ_HEADER_BYTES] + 1)
    block = packed[XZ_HEADER_BYTES : XZ_HEADER_BYTES + length]
    # After its length and flags: the filter, the length of its properties, and these: the size of the dictionary.
    block[4] = 37
    block[-4:] = struct.pack("<L", zlib.crc32(block[:-4]))
    packed[XZ_HEADER_BYTES : XZ_HEADER_BYTES + length] = block
    return bytes(packed)


def encode_zeros(size: int, compress: Callable[[bytes], bytes]) -> bytes:
    """Return a packed tar of one member of so many zeros."""
    header = describe_entry("zeros", size).tobuf()
    return compress(header) + compress(bytes(64 * MIB)) * (size // (64 * MIB)) + compress(END)
