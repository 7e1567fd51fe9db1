"""Tars: links, sparse files, headers, and each kind of damage as one unreadable member."""

import io
import lzma
import os
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from producer.sources.archives import ArchiveMember, ArchiveTooLargeError
from producer.sources.tar_reading import MAX_HEADER_BYTES
from producer.sources.unpacking import unpack
from producer.sources.unpacking_frames import MAX_NAME_BYTES
from tests.kit.archives import describe_entry, pack_tar, write_tar
from tests.kit.read_archives import LIMITS, MAX_BYTES, WHOLE_ARCHIVE, flip, read_members


def test_a_tar_that_ends_within_a_member_says_so(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "archive.tar", {"a": b"first", "b": bytes(5000), "c": b"third"})
    path.write_bytes(path.read_bytes()[:3000])

    assert read_members(path) == [ArchiveMember("a", b"first"), ArchiveMember("b", None), WHOLE_ARCHIVE]


@pytest.mark.parametrize("kept", [0.3, 0.6, 0.9])
@pytest.mark.parametrize(("suffix", "mode"), [(".tar.gz", "w:gz"), (".tar.bz2", "w:bz2"), (".tar.xz", "w:xz")])
def test_a_compressed_tar_that_ends_early_says_so(tmp_path: Path, suffix: str, mode: str, kept: float) -> None:
    files = {name: os.urandom(20_000) for name in "ab"}
    path = write_tar(tmp_path / f"archive{suffix}", files, mode=mode)
    data = path.read_bytes()
    path.write_bytes(data[: int(kept * len(data))])

    found = read_members(path)

    assert found[-1] == WHOLE_ARCHIVE
    assert all(member.data in (None, files[member.name or "a"]) for member in found)


def test_a_tar_with_a_damaged_header_says_so(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "archive.tar", {"a": b"first", "b": b"second", "c": b"third"})
    flip(path, 1024)

    assert read_members(path)[-1].data is None


def test_hard_and_symbolic_links_are_refused(tmp_path: Path) -> None:
    links = [
        describe_entry("hard", kind=tarfile.LNKTYPE, target="folder/a"),
        describe_entry("folder/soft", kind=tarfile.SYMTYPE, target="a"),
    ]
    path = write_tar(tmp_path / "archive.tar", {"folder/a": b"first"}, links)

    assert read_members(path) == [
        ArchiveMember("folder/a", b"first"),
        ArchiveMember("hard", None),
        ArchiveMember("folder/soft", None),
    ]


@pytest.mark.parametrize(
    "entry",
    [
        describe_entry("odd", kind=tarfile.LNKTYPE, target="nothing"),
        describe_entry("odd", kind=tarfile.LNKTYPE, target="odd"),
        describe_entry("odd", kind=tarfile.SYMTYPE, target="odd"),
        describe_entry("odd", kind=tarfile.SYMTYPE, target="nothing"),
        describe_entry("odd", kind=tarfile.SYMTYPE, target="/etc/passwd"),
        describe_entry("odd", kind=tarfile.SYMTYPE, target="../../../../etc/passwd"),
        describe_entry("odd", kind=tarfile.LNKTYPE, target="/etc/passwd"),
        describe_entry("odd", kind=tarfile.FIFOTYPE),
        describe_entry("odd", kind=tarfile.CHRTYPE),
        describe_entry("odd", kind=tarfile.BLKTYPE),
    ],
    ids=lambda entry: f"{entry.type.decode()} to {entry.linkname}",
)
def test_links_out_of_the_archive_and_devices_are_unreadable_alone(tmp_path: Path, entry: tarfile.TarInfo) -> None:
    with tarfile.open(tmp_path / "archive.tar", "w") as archive:
        archive.addfile(entry)
        archive.addfile(describe_entry("a", 5), io.BytesIO(b"first"))

    assert read_members(tmp_path / "archive.tar") == [ArchiveMember("odd", None), ArchiveMember("a", b"first")]


def test_links_in_a_circle_are_unreadable(tmp_path: Path) -> None:
    links = [
        describe_entry("one", kind=tarfile.SYMTYPE, target="two"),
        describe_entry("two", kind=tarfile.SYMTYPE, target="one"),
    ]

    assert read_members(write_tar(tmp_path / "archive.tar", {}, links)) == [
        ArchiveMember("one", None),
        ArchiveMember("two", None),
    ]


@pytest.mark.parametrize(
    "attributes",
    [
        {"GNU.sparse.map": f"{2**40 - 5},5", "GNU.sparse.size": str(2**40), "GNU.sparse.name": "sparse"},
        {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": "sparse", "path": "GNUSparseFile.0/x"},
    ],
    ids=["0.1", "1.0"],
)
def test_a_sparse_member_is_refused_under_its_name(tmp_path: Path, attributes: dict[str, str]) -> None:
    entry = describe_entry("odd", 5)
    entry.pax_headers = attributes
    with tarfile.open(tmp_path / "archive.tar", "w", format=tarfile.PAX_FORMAT) as archive:
        archive.addfile(entry, io.BytesIO(b"first"))
        archive.addfile(describe_entry("a", 5), io.BytesIO(b"first"))

    assert read_members(tmp_path / "archive.tar") == [ArchiveMember("sparse", None), ArchiveMember("a", b"first")]


def encode_sparse(continued: int) -> bytes:
    """Return a tar with an old sparse member, whose header has so many further blocks of its map, and a file."""
    header = bytearray(describe_entry("sparse", 5, tarfile.GNUTYPE_SPARSE).tobuf(tarfile.GNU_FORMAT))
    header[482] = continued > 0
    header[148:156] = b"%06o\0 " % (sum(header[:148]) + sum(header[156:512]) + 8 * 32)
    blocks = [bytes(504) + bytes([number + 1 < continued]) + bytes(7) for number in range(continued)]
    return bytes(header) + b"".join(blocks) + b"first".ljust(512, b"\0") + pack_tar({"a": b"first"})


@pytest.mark.parametrize("continued", [0, 1, 3])
def test_an_old_sparse_member_is_refused_and_the_next_one_read(tmp_path: Path, continued: int) -> None:
    (tmp_path / "archive.tar").write_bytes(encode_sparse(continued))

    assert read_members(tmp_path / "archive.tar") == [ArchiveMember("sparse", None), ArchiveMember("a", b"first")]


def test_a_sparse_map_without_end_is_damage(tmp_path: Path) -> None:
    (tmp_path / "archive.tar").write_bytes(encode_sparse(MAX_HEADER_BYTES // tarfile.BLOCKSIZE + 1))

    assert read_members(tmp_path / "archive.tar") == [WHOLE_ARCHIVE]


@pytest.mark.parametrize("size", [2**62 + 1, 2**70, -1])
def test_a_size_that_no_file_has_is_damage(tmp_path: Path, size: int) -> None:
    (tmp_path / "archive.tar").write_bytes(describe_entry("a", size).tobuf(tarfile.GNU_FORMAT))

    assert read_members(tmp_path / "archive.tar") == [WHOLE_ARCHIVE]


@pytest.mark.parametrize("layout", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_long_names_are_read(tmp_path: Path, layout: int) -> None:
    name = "folder/" * 50 + "ü \udcff.png"
    with tarfile.open(tmp_path / "archive.tar", "w", format=layout, pax_headers={"comment": "of all"}) as archive:
        archive.addfile(describe_entry(name, 5), io.BytesIO(b"first"))
        archive.addfile(describe_entry("b", 6), io.BytesIO(b"second"))

    assert read_members(tmp_path / "archive.tar") == [ArchiveMember(name, b"first"), ArchiveMember("b", b"second")]


def test_a_name_that_is_longer_than_a_path_is_cut(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "archive.tar", "w", format=tarfile.GNU_FORMAT) as archive:
        archive.addfile(describe_entry("a" * 5000, 5), io.BytesIO(b"first"))

    assert read_members(tmp_path / "archive.tar") == [ArchiveMember("a" * MAX_NAME_BYTES, b"first")]


@pytest.mark.parametrize(
    "attributes", [b"9 path=a", b"x path=a\n", b"0 path=a\n", b"9 path a\n", b"99 path=a\n", b"9999999 path=a\n"]
)
def test_damaged_attributes_are_damage(tmp_path: Path, attributes: bytes) -> None:
    header = describe_entry("pax", len(attributes), tarfile.XHDTYPE).tobuf()
    (tmp_path / "archive.tar").write_bytes(header + attributes.ljust(512, b"\0") + pack_tar({"a": b"first"}))

    assert read_members(tmp_path / "archive.tar") == [WHOLE_ARCHIVE]


@pytest.mark.parametrize(("count", "expected"), [(7, ArchiveMember("a", b"first")), (8, WHOLE_ARCHIVE)])
def test_an_entry_has_only_so_many_headers(tmp_path: Path, count: int, expected: ArchiveMember) -> None:
    header = describe_entry("pax", 0, tarfile.XHDTYPE).tobuf()
    (tmp_path / "archive.tar").write_bytes(count * header + pack_tar({"a": b"first"}))

    assert read_members(tmp_path / "archive.tar") == [expected]


def test_what_is_skipped_of_a_compressed_tar_counts_as_unpacked(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "archive.tar.gz", {"bomb": bytes(MAX_BYTES), "a": b"first"}, mode="w:gz")
    assert path.stat().st_size < MAX_BYTES // 10

    with pytest.raises(ArchiveTooLargeError):
        read_members(path)


def test_a_damaged_stream_within_a_tar_is_no_crash(tmp_path: Path) -> None:
    (tmp_path / "archive.tar.xz").write_bytes(lzma.compress(b"no tar at all " * 100))

    assert read_members(tmp_path / "archive.tar.xz") == [WHOLE_ARCHIVE]


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
def test_a_tar_header_that_takes_more_than_a_header_may_is_refused_alone(tmp_path: Path, mode: Any) -> None:
    path = tmp_path / "bomb.tar"
    with tarfile.open(path, mode=mode, format=tarfile.PAX_FORMAT) as archive:
        archive.addfile(tarfile.TarInfo("first"))
        entry = tarfile.TarInfo("second")
        entry.pax_headers = {"comment": "a" * MAX_HEADER_BYTES}
        archive.addfile(entry)

    assert read_members(path) == [
        ArchiveMember("first", b""),
        ArchiveMember("././@PaxHeader", None),
        ArchiveMember("second", b""),
    ]


def test_a_tar_of_many_members_without_content_is_read(tmp_path: Path) -> None:
    count = 3000
    path = write_tar(tmp_path / "archive.tar", dict.fromkeys(map(str, range(count)), b""))

    found = unpack(os.fsencode(path), replace(LIMITS, max_members=count))

    assert [member.data for member in found] == [b""] * count


@pytest.mark.parametrize("mode", ["w:gz", "w:bz2", "w:xz"])
def test_what_is_skipped_counts_as_unpacked_whatever_a_compressed_tar_is_called(tmp_path: Path, mode: Any) -> None:
    path = write_tar(tmp_path / "bomb.tar", {"zeros": bytes(2 * MAX_BYTES)}, mode=mode)

    with pytest.raises(ArchiveTooLargeError):
        read_members(path)
