"""Archives: their members, with any names, and each kind of damage as one unreadable member."""

import io
import lzma
import os
import tarfile
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from producer.sources.archives import ArchiveMember, ArchiveTooLargeError, is_archive
from producer.sources.tar_reading import MAX_HEADER_BYTES
from producer.sources.unpacking import UnpackingLimits, unpack
from producer.sources.unpacking_frames import MAX_NAME_BYTES
from tests.kit.archives import describe_entry, pack_tar, write_tar, write_zip
from tests.kit.threads import PATIENCE_S

MAX_MEMBERS = 10
MAX_BYTES = 100_000
MAX_MEMBER_BYTES = 50_000
LIMITS = UnpackingLimits(
    max_members=MAX_MEMBERS,
    max_bytes=MAX_BYTES,
    max_member_bytes=MAX_MEMBER_BYTES,
    max_seconds=10.0,
    max_memory_bytes=128 * 2**20,
    stall_s=PATIENCE_S,
)
WHOLE_ARCHIVE = ArchiveMember(None, None)

MEMBERS = {
    "a.png": b"first",
    "folder/deeper/b.png": b"second",
    "../../outside.png": b"third",
    "/absolute.png": b"fourth",
    "two\nlines\x1b[31m.png": b"fifth",
    "ü 世界.png": b"sixth",
    "empty": b"",
}


def members(path: Path) -> list[ArchiveMember]:
    return list(unpack(os.fsencode(path), LIMITS))


def write(path: Path, files: dict[str, bytes]) -> Path:
    return write_zip(path, files) if path.suffix == ".zip" else write_tar(path, files)


def flipped(path: Path, position: int, bits: int = 0xFF) -> None:
    """Damage one byte of the file."""
    data = bytearray(path.read_bytes())
    data[position] ^= bits
    path.write_bytes(data)


@pytest.mark.parametrize(
    "name",
    [b"a.zip", b"A.ZIP", b"a.tar", b"a.tar.gz", b"a.TGZ", b"a.tar.bz2", b"a.tbz2", b"a.tar.xz", b"a.txz", b"\xff.zip"],
)
def test_archives_are_known_by_their_names(name: bytes) -> None:
    assert is_archive(name)


@pytest.mark.parametrize("name", [b"a.png", b"zip", b"a.zip.png", b"a.gz", b"a.7z", b"", b"tar"])
def test_other_names_are_no_archives(name: bytes) -> None:
    assert not is_archive(name)


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_members_of_a_zip_come_in_order_with_their_names(tmp_path: Path, compression: int) -> None:
    path = write_zip(tmp_path / "archive.zip", MEMBERS, compression)

    assert members(path) == [ArchiveMember(name, data) for name, data in MEMBERS.items()]


@pytest.mark.parametrize(
    ("suffix", "mode"), [(".tar", "w"), (".tar.gz", "w:gz"), (".TGZ", "w:gz"), (".tar.bz2", "w:bz2"), (".txz", "w:xz")]
)
def test_members_of_a_tar_come_in_order_with_their_names(tmp_path: Path, suffix: str, mode: str) -> None:
    path = write_tar(tmp_path / f"archive{suffix}", MEMBERS, mode=mode)

    assert members(path) == [ArchiveMember(name, data) for name, data in MEMBERS.items()]


def test_folders_are_no_members(tmp_path: Path) -> None:
    zipped = write_zip(tmp_path / "archive.zip", {"folder/": b"", "folder/a": b"a"})
    tarred = write_tar(tmp_path / "archive.tar", {"a": b"a"}, [describe_entry("folder", kind=tarfile.DIRTYPE)])

    assert members(zipped) == [ArchiveMember("folder/a", b"a")]
    assert members(tarred) == [ArchiveMember("a", b"a")]


def test_an_archive_in_an_archive_is_a_file_like_others(tmp_path: Path) -> None:
    inner = write_zip(tmp_path / "inner.zip", {"a": b"a"}).read_bytes()

    assert members(write_zip(tmp_path / "archive.zip", {"inner.zip": inner})) == [ArchiveMember("inner.zip", inner)]


@pytest.mark.parametrize("name", ["archive.zip", "archive.tar"])
def test_an_archive_without_members_has_none(tmp_path: Path, name: str) -> None:
    assert members(write(tmp_path / name, {})) == []


@pytest.mark.parametrize("name", ["archive.zip", "archive.tar", "archive.tar.gz"])
@pytest.mark.parametrize(
    "data", [b"", b"no archive", b"\0" * 100, b"PK\3\4" + b"\0" * 100, b"\x1f\x8b" + b"\xff" * 600]
)
def test_what_only_has_the_name_of_an_archive_is_one_unreadable_whole(tmp_path: Path, name: str, data: bytes) -> None:
    (tmp_path / name).write_bytes(data)

    assert members(tmp_path / name) == [WHOLE_ARCHIVE]


@pytest.mark.parametrize("name", ["archive.zip", "archive.tar"])
def test_an_archive_that_is_not_there_is_one_unreadable_whole(tmp_path: Path, name: str) -> None:
    assert members(tmp_path / name) == [WHOLE_ARCHIVE]


@pytest.mark.parametrize("name", ["archive.zip", "archive.tar"])
def test_nothing_is_written_anywhere(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "a" / "b"
    folder.mkdir(parents=True)
    path = write(folder / name, MEMBERS)

    members(path)

    assert [each for each in tmp_path.rglob("*") if each.is_file()] == [path]


def test_an_encrypted_member_is_unreadable_alone(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "archive.zip", {"a": b"first", "b": b"second", "c": b"third"})
    data = path.read_bytes()
    # The flags of the second entry, before its data and in the directory.
    flipped(path, data.index(b"PK\3\4", 4) + 6, 1)
    flipped(path, data.index(b"PK\1\2", data.index(b"PK\1\2") + 4) + 8, 1)

    assert members(path) == [ArchiveMember("a", b"first"), ArchiveMember("b", None), ArchiveMember("c", b"third")]


def test_a_member_with_a_wrong_checksum_is_unreadable_alone(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "archive.zip", {"a": b"first", "b": b"second", "c": b"third"}, zipfile.ZIP_STORED)
    flipped(path, path.read_bytes().index(b"second"))

    assert members(path) == [ArchiveMember("a", b"first"), ArchiveMember("b", None), ArchiveMember("c", b"third")]


@pytest.mark.parametrize("compression", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_members_that_are_packed_in_ways_that_cannot_be_bounded_are_refused_alone(
    tmp_path: Path, compression: int
) -> None:
    path = tmp_path / "archive.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a", b"first")
        archive.writestr("b", b"second", compression)
        archive.writestr("c", b"third")

    assert members(path) == [ArchiveMember("a", b"first"), ArchiveMember("b", None), ArchiveMember("c", b"third")]


def test_a_member_with_damaged_bytes_is_unreadable_alone(tmp_path: Path) -> None:
    files = {name: name.encode() + bytes(range(256)) for name in "abc"}
    path = write_zip(tmp_path / "archive.zip", files)
    second = path.read_bytes().index(b"PK\3\4", 4)
    for offset in range(40, 60):
        flipped(path, second + offset)

    assert members(path) == [ArchiveMember("a", files["a"]), ArchiveMember("b", None), ArchiveMember("c", files["c"])]


@pytest.mark.parametrize("bits", [0x55, 0x5A], ids=["Zstandard, which Pythons from 3.14 on know", "none"])
def test_a_member_of_another_compression_than_it_says_is_unreadable_alone(tmp_path: Path, bits: int) -> None:
    path = write_zip(tmp_path / "archive.zip", {"a": b"first", "b": b"second"})
    data = path.read_bytes()
    flipped(path, data.index(b"PK\3\4") + 8, bits)
    flipped(path, data.index(b"PK\1\2") + 10, bits)

    assert members(path) == [ArchiveMember("a", None), ArchiveMember("b", b"second")]


def test_a_zip_without_its_end_is_one_unreadable_whole(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "archive.zip", MEMBERS)
    path.write_bytes(path.read_bytes()[:-30])

    assert members(path) == [WHOLE_ARCHIVE]


def test_a_tar_that_ends_within_a_member_says_so(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "archive.tar", {"a": b"first", "b": bytes(5000), "c": b"third"})
    path.write_bytes(path.read_bytes()[:3000])

    assert members(path) == [ArchiveMember("a", b"first"), ArchiveMember("b", None), WHOLE_ARCHIVE]


@pytest.mark.parametrize("kept", [0.3, 0.6, 0.9])
@pytest.mark.parametrize(("suffix", "mode"), [(".tar.gz", "w:gz"), (".tar.bz2", "w:bz2"), (".tar.xz", "w:xz")])
def test_a_compressed_tar_that_ends_early_says_so(tmp_path: Path, suffix: str, mode: str, kept: float) -> None:
    files = {name: os.urandom(20_000) for name in "ab"}
    path = write_tar(tmp_path / f"archive{suffix}", files, mode=mode)
    data = path.read_bytes()
    path.write_bytes(data[: int(kept * len(data))])

    found = members(path)

    assert found[-1] == WHOLE_ARCHIVE
    assert all(member.data in (None, files[member.name or "a"]) for member in found)


def test_a_tar_with_a_damaged_header_says_so(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "archive.tar", {"a": b"first", "b": b"second", "c": b"third"})
    flipped(path, 1024)

    assert members(path)[-1].data is None


def test_hard_and_symbolic_links_are_refused(tmp_path: Path) -> None:
    links = [
        describe_entry("hard", kind=tarfile.LNKTYPE, target="folder/a"),
        describe_entry("folder/soft", kind=tarfile.SYMTYPE, target="a"),
    ]
    path = write_tar(tmp_path / "archive.tar", {"folder/a": b"first"}, links)

    assert members(path) == [
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

    assert members(tmp_path / "archive.tar") == [ArchiveMember("odd", None), ArchiveMember("a", b"first")]


def test_links_in_a_circle_are_unreadable(tmp_path: Path) -> None:
    links = [
        describe_entry("one", kind=tarfile.SYMTYPE, target="two"),
        describe_entry("two", kind=tarfile.SYMTYPE, target="one"),
    ]

    assert members(write_tar(tmp_path / "archive.tar", {}, links)) == [
        ArchiveMember("one", None),
        ArchiveMember("two", None),
    ]


def test_a_name_that_is_no_text_keeps_its_bytes(tmp_path: Path) -> None:
    name = os.fsdecode(b"\xff\xfe.png")

    path = write_tar(tmp_path / "archive.tar", {name: b"first"})

    assert [os.fsencode(member.name or "") for member in members(path)] == [b"\xff\xfe.png"]


@pytest.mark.parametrize("name", ["archive.zip", "archive.tar"])
def test_of_a_member_over_the_limit_only_its_start_is_read(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / name, {"fits": bytes(MAX_MEMBER_BYTES), "large": bytes(MAX_MEMBER_BYTES + 1)[:-1] + b"x"})

    assert [len(member.data or b"") for member in members(path)] == [MAX_MEMBER_BYTES, MAX_MEMBER_BYTES]


def test_a_zip_bomb_costs_no_more_than_the_limit(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "archive.zip", {"bomb": bytes(50_000_000)})
    assert path.stat().st_size < 100_000

    assert members(path) == [ArchiveMember("bomb", bytes(MAX_MEMBER_BYTES))]


@pytest.mark.parametrize("name", ["archive.zip", "archive.tar"])
def test_as_many_members_as_allowed_are_read(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / name, {str(number): b"" for number in range(MAX_MEMBERS)})

    assert len(members(path)) == MAX_MEMBERS


@pytest.mark.parametrize("name", ["archive.zip", "archive.tar"])
@pytest.mark.parametrize(
    "files",
    [
        {str(number): b"" for number in range(MAX_MEMBERS + 1)},
        {str(number): bytes(MAX_MEMBER_BYTES) for number in range(3)},
    ],
    ids=["members", "bytes"],
)
def test_an_archive_of_too_much_is_refused_with_the_setting_to_raise(
    tmp_path: Path, name: str, files: dict[str, bytes]
) -> None:
    path = write(tmp_path / name, files)

    with pytest.raises(ArchiveTooLargeError, match="STARLIGHT_MAX_ARCHIVE_MEMBERS"):
        members(path)


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

    assert members(tmp_path / "archive.tar") == [ArchiveMember("sparse", None), ArchiveMember("a", b"first")]


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

    assert members(tmp_path / "archive.tar") == [ArchiveMember("sparse", None), ArchiveMember("a", b"first")]


def test_a_sparse_map_without_end_is_damage(tmp_path: Path) -> None:
    (tmp_path / "archive.tar").write_bytes(encode_sparse(MAX_HEADER_BYTES // tarfile.BLOCKSIZE + 1))

    assert members(tmp_path / "archive.tar") == [WHOLE_ARCHIVE]


@pytest.mark.parametrize("size", [2**62 + 1, 2**70, -1])
def test_a_size_that_no_file_has_is_damage(tmp_path: Path, size: int) -> None:
    (tmp_path / "archive.tar").write_bytes(describe_entry("a", size).tobuf(tarfile.GNU_FORMAT))

    assert members(tmp_path / "archive.tar") == [WHOLE_ARCHIVE]


@pytest.mark.parametrize("layout", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_long_names_are_read(tmp_path: Path, layout: int) -> None:
    name = "folder/" * 50 + "ü \udcff.png"
    with tarfile.open(tmp_path / "archive.tar", "w", format=layout, pax_headers={"comment": "of all"}) as archive:
        archive.addfile(describe_entry(name, 5), io.BytesIO(b"first"))
        archive.addfile(describe_entry("b", 6), io.BytesIO(b"second"))

    assert members(tmp_path / "archive.tar") == [ArchiveMember(name, b"first"), ArchiveMember("b", b"second")]


def test_a_name_that_is_longer_than_a_path_is_cut(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "archive.tar", "w", format=tarfile.GNU_FORMAT) as archive:
        archive.addfile(describe_entry("a" * 5000, 5), io.BytesIO(b"first"))

    assert members(tmp_path / "archive.tar") == [ArchiveMember("a" * MAX_NAME_BYTES, b"first")]


@pytest.mark.parametrize(
    "attributes", [b"9 path=a", b"x path=a\n", b"0 path=a\n", b"9 path a\n", b"99 path=a\n", b"9999999 path=a\n"]
)
def test_damaged_attributes_are_damage(tmp_path: Path, attributes: bytes) -> None:
    header = describe_entry("pax", len(attributes), tarfile.XHDTYPE).tobuf()
    (tmp_path / "archive.tar").write_bytes(header + attributes.ljust(512, b"\0") + pack_tar({"a": b"first"}))

    assert members(tmp_path / "archive.tar") == [WHOLE_ARCHIVE]


@pytest.mark.parametrize(("count", "expected"), [(7, ArchiveMember("a", b"first")), (8, WHOLE_ARCHIVE)])
def test_an_entry_has_only_so_many_headers(tmp_path: Path, count: int, expected: ArchiveMember) -> None:
    header = describe_entry("pax", 0, tarfile.XHDTYPE).tobuf()
    (tmp_path / "archive.tar").write_bytes(count * header + pack_tar({"a": b"first"}))

    assert members(tmp_path / "archive.tar") == [expected]


def test_what_is_skipped_of_a_compressed_tar_counts_as_unpacked(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "archive.tar.gz", {"bomb": bytes(MAX_BYTES), "a": b"first"}, mode="w:gz")
    assert path.stat().st_size < MAX_BYTES // 10

    with pytest.raises(ArchiveTooLargeError):
        members(path)


def test_a_damaged_stream_within_a_tar_is_no_crash(tmp_path: Path) -> None:
    (tmp_path / "archive.tar.xz").write_bytes(lzma.compress(b"no tar at all " * 100))

    assert members(tmp_path / "archive.tar.xz") == [WHOLE_ARCHIVE]


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
def test_a_tar_header_that_takes_more_than_a_header_may_is_refused_alone(tmp_path: Path, mode: Any) -> None:
    path = tmp_path / "bomb.tar"
    with tarfile.open(path, mode=mode, format=tarfile.PAX_FORMAT) as archive:
        archive.addfile(tarfile.TarInfo("first"))
        entry = tarfile.TarInfo("second")
        entry.pax_headers = {"comment": "a" * MAX_HEADER_BYTES}
        archive.addfile(entry)

    assert members(path) == [
        ArchiveMember("first", b""),
        ArchiveMember("././@PaxHeader", None),
        ArchiveMember("second", b""),
    ]


def test_a_tar_of_many_members_without_content_is_read(tmp_path: Path) -> None:
    count = 3000
    path = write_tar(tmp_path / "archive.tar", dict.fromkeys(map(str, range(count)), b""))

    found = unpack(os.fsencode(path), replace(LIMITS, max_members=count))

    assert [member.data for member in found] == [b""] * count


def test_a_zip_whose_directory_takes_more_than_its_entries_may_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(40):
            entry = zipfile.ZipInfo(f"{number}")
            entry.comment = b"a" * 2**15
            archive.writestr(entry, b"")

    with pytest.raises(ArchiveTooLargeError):
        members(path)


@pytest.mark.parametrize("mode", ["w:gz", "w:bz2", "w:xz"])
def test_what_is_skipped_counts_as_unpacked_whatever_a_compressed_tar_is_called(tmp_path: Path, mode: Any) -> None:
    path = write_tar(tmp_path / "bomb.tar", {"zeros": bytes(2 * MAX_BYTES)}, mode=mode)

    with pytest.raises(ArchiveTooLargeError):
        members(path)
