"""Archives: their members, with any names, and each kind of damage as one unreadable member."""

import os
import tarfile
import zipfile
from pathlib import Path

import pytest

from producer.sources.archives import ArchiveMember, ArchiveTooLargeError, is_archive
from tests.kit.archives import describe_entry, write_tar, write_zip
from tests.kit.read_archives import MAX_MEMBER_BYTES, MAX_MEMBERS, WHOLE_ARCHIVE, flip, read_members

MEMBERS = {
    "a.png": b"first",
    "folder/deeper/b.png": b"second",
    "../../outside.png": b"third",
    "/absolute.png": b"fourth",
    "two\nlines\x1b[31m.png": b"fifth",
    "ü 世界.png": b"sixth",
    "empty": b"",
}


def write(path: Path, files: dict[str, bytes]) -> Path:
    return write_zip(path, files) if path.suffix == ".zip" else write_tar(path, files)


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

    assert read_members(path) == [ArchiveMember(name, data) for name, data in MEMBERS.items()]


@pytest.mark.parametrize(
    ("suffix", "mode"), [(".tar", "w"), (".tar.gz", "w:gz"), (".TGZ", "w:gz"), (".tar.bz2", "w:bz2"), (".txz", "w:xz")]
)
def test_members_of_a_tar_come_in_order_with_their_names(tmp_path: Path, suffix: str, mode: str) -> None:
    path = write_tar(tmp_path / f"archive{suffix}", MEMBERS, mode=mode)

    assert read_members(path) == [ArchiveMember(name, data) for name, data in MEMBERS.items()]


def test_folders_are_no_members(tmp_path: Path) -> None:
    zipped = write_zip(tmp_path / "archive.zip", {"folder/": b"", "folder/a": b"a"})
    tarred = write_tar(tmp_path / "archive.tar", {"a": b"a"}, [describe_entry("folder", kind=tarfile.DIRTYPE)])

    assert read_members(zipped) == [ArchiveMember("folder/a", b"a")]
    assert read_members(tarred) == [ArchiveMember("a", b"a")]


def test_an_archive_in_an_archive_is_a_file_like_others(tmp_path: Path) -> None:
    inner = write_zip(tmp_path / "inner.zip", {"a": b"a"}).read_bytes()

    assert read_members(write_zip(tmp_path / "archive.zip", {"inner.zip": inner})) == [
        ArchiveMember("inner.zip", inner)
    ]


@pytest.mark.parametrize("name", ["archive.zip", "archive.tar"])
def test_an_archive_without_members_has_none(tmp_path: Path, name: str) -> None:
    assert read_members(write(tmp_path / name, {})) == []


@pytest.mark.parametrize("name", ["archive.zip", "archive.tar", "archive.tar.gz"])
@pytest.mark.parametrize(
    "data", [b"", b"no archive", b"\0" * 100, b"PK\3\4" + b"\0" * 100, b"\x1f\x8b" + b"\xff" * 600]
)
def test_what_only_has_the_name_of_an_archive_is_one_unreadable_whole(tmp_path: Path, name: str, data: bytes) -> None:
    (tmp_path / name).write_bytes(data)

    assert read_members(tmp_path / name) == [WHOLE_ARCHIVE]


@pytest.mark.parametrize("name", ["archive.zip", "archive.tar"])
def test_an_archive_that_is_not_there_is_one_unreadable_whole(tmp_path: Path, name: str) -> None:
    assert read_members(tmp_path / name) == [WHOLE_ARCHIVE]


@pytest.mark.parametrize("name", ["archive.zip", "archive.tar"])
def test_nothing_is_written_anywhere(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "a" / "b"
    folder.mkdir(parents=True)
    path = write(folder / name, MEMBERS)

    read_members(path)

    assert [each for each in tmp_path.rglob("*") if each.is_file()] == [path]


def test_an_encrypted_member_is_unreadable_alone(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "archive.zip", {"a": b"first", "b": b"second", "c": b"third"})
    data = path.read_bytes()
    # The flags of the second entry, before its data and in the directory.
    flip(path, data.index(b"PK\3\4", 4) + 6, 1)
    flip(path, data.index(b"PK\1\2", data.index(b"PK\1\2") + 4) + 8, 1)

    assert read_members(path) == [ArchiveMember("a", b"first"), ArchiveMember("b", None), ArchiveMember("c", b"third")]


def test_a_member_with_a_wrong_checksum_is_unreadable_alone(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "archive.zip", {"a": b"first", "b": b"second", "c": b"third"}, zipfile.ZIP_STORED)
    flip(path, path.read_bytes().index(b"second"))

    assert read_members(path) == [ArchiveMember("a", b"first"), ArchiveMember("b", None), ArchiveMember("c", b"third")]


@pytest.mark.parametrize("compression", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_members_that_are_packed_in_ways_that_cannot_be_bounded_are_refused_alone(
    tmp_path: Path, compression: int
) -> None:
    path = tmp_path / "archive.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a", b"first")
        archive.writestr("b", b"second", compression)
        archive.writestr("c", b"third")

    assert read_members(path) == [ArchiveMember("a", b"first"), ArchiveMember("b", None), ArchiveMember("c", b"third")]


def test_a_member_with_damaged_bytes_is_unreadable_alone(tmp_path: Path) -> None:
    files = {name: name.encode() + bytes(range(256)) for name in "abc"}
    path = write_zip(tmp_path / "archive.zip", files)
    second = path.read_bytes().index(b"PK\3\4", 4)
    for offset in range(40, 60):
        flip(path, second + offset)

    assert read_members(path) == [
        ArchiveMember("a", files["a"]),
        ArchiveMember("b", None),
        ArchiveMember("c", files["c"]),
    ]


@pytest.mark.parametrize("bits", [0x55, 0x5A], ids=["Zstandard, which Pythons from 3.14 on know", "none"])
def test_a_member_of_another_compression_than_it_says_is_unreadable_alone(tmp_path: Path, bits: int) -> None:
    path = write_zip(tmp_path / "archive.zip", {"a": b"first", "b": b"second"})
    data = path.read_bytes()
    flip(path, data.index(b"PK\3\4") + 8, bits)
    flip(path, data.index(b"PK\1\2") + 10, bits)

    assert read_members(path) == [ArchiveMember("a", None), ArchiveMember("b", b"second")]


def test_a_zip_without_its_end_is_one_unreadable_whole(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "archive.zip", MEMBERS)
    path.write_bytes(path.read_bytes()[:-30])

    assert read_members(path) == [WHOLE_ARCHIVE]


def test_a_name_that_is_no_text_keeps_its_bytes(tmp_path: Path) -> None:
    name = os.fsdecode(b"\xff\xfe.png")

    path = write_tar(tmp_path / "archive.tar", {name: b"first"})

    assert [os.fsencode(member.name or "") for member in read_members(path)] == [b"\xff\xfe.png"]


@pytest.mark.parametrize("name", ["archive.zip", "archive.tar"])
def test_of_a_member_over_the_limit_only_its_start_is_read(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / name, {"fits": bytes(MAX_MEMBER_BYTES), "large": bytes(MAX_MEMBER_BYTES + 1)[:-1] + b"x"})

    assert [len(member.data or b"") for member in read_members(path)] == [MAX_MEMBER_BYTES, MAX_MEMBER_BYTES]


def test_a_zip_bomb_costs_no_more_than_the_limit(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "archive.zip", {"bomb": bytes(50_000_000)})
    assert path.stat().st_size < 100_000

    assert read_members(path) == [ArchiveMember("bomb", bytes(MAX_MEMBER_BYTES))]


@pytest.mark.parametrize("name", ["archive.zip", "archive.tar"])
def test_as_many_members_as_allowed_are_read(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / name, {str(number): b"" for number in range(MAX_MEMBERS)})

    assert len(read_members(path)) == MAX_MEMBERS


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
        read_members(path)


def test_a_zip_whose_directory_takes_more_than_its_entries_may_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(40):
            entry = zipfile.ZipInfo(f"{number}")
            entry.comment = b"a" * 2**15
            archive.writestr(entry, b"")

    with pytest.raises(ArchiveTooLargeError):
        read_members(path)
