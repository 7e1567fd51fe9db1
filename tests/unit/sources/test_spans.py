"""Members of archives that are read in place: on disks, and in buckets."""

import io
import os
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pytest

from producer.sources.archives import ArchiveTooLargeError
from producer.sources.errors import SourceAwayError
from producer.sources.expansion import Sources, format_reference, refer_to_file
from producer.sources.known_versions import KnownVersions
from producer.sources.selection import Selection
from starlight_vocabulary.words import ErrorCode
from storage.blobs import Blobs
from storage.settings import Settings
from storage.spans import Span, read_span, refer_to_span
from storage.submission import ListedObject
from tests.kit.loading import BytesLoader
from tests.kit.names import expand, expect_refusal
from tests.kit.object_store import ObjectStore, make_etag

MEMBERS = {"000.png": b"the first", "deep/ü #&=+.png": b"the second" * 20, os.fsdecode(b"\xff.png"): b"third"}


@pytest.fixture
def in_place(blobs: Blobs, settings: Settings) -> Sources:
    return Sources(blobs, settings, in_place=True)


def make_tar(members: dict[str, bytes], mode: str = "w", form: int = tarfile.GNU_FORMAT) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode=mode, format=form) as archive:  # type: ignore[call-overload]
        for name, data in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return stream.getvalue()


def make_zip(members: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", compression) as archive:
        for name, data in members.items():
            archive.writestr(name.encode("utf-8", "replace").decode(), data)
    return stream.getvalue()


STANDING: dict[str, Callable[[dict[str, bytes]], bytes]] = {
    "gnu.tar": make_tar,
    "pax.tar": lambda members: make_tar(members, form=tarfile.PAX_FORMAT),
    "stored.zip": make_zip,
    # Bytes before a ZIP, as in self-extracting archives.
    "behind.zip": lambda members: b"#!/bin/sh\n" * 100 + make_zip(members),
}
PACKED: dict[str, Callable[[dict[str, bytes]], bytes]] = {
    "packed.tar.gz": lambda members: make_tar(members, "w:gz"),
    "packed.zip": lambda members: make_zip(members, zipfile.ZIP_DEFLATED),
}


@pytest.mark.parametrize("name", STANDING)
def test_members_of_a_file_are_read_where_they_stand(
    folder: Path, settings: Settings, in_place: Sources, loader: BytesLoader, name: str
) -> None:
    (folder / name).write_bytes(STANDING[name](MEMBERS))

    found = expand(in_place, str(folder))

    assert [loader.load(uri) for uri in found] == list(MEMBERS.values())
    assert all(uri.startswith(f"{(folder / name).as_uri()}#bytes=") and uri.isascii() for uri in found)
    assert format_reference(found[1]) == f"{folder / name}#deep/ü #&=+.png"
    assert list(Path(settings.blobs().removeprefix("file://")).rglob("*")) == []


@pytest.mark.parametrize("name", PACKED)
def test_what_is_packed_is_stored_as_before(folder: Path, in_place: Sources, loader: BytesLoader, name: str) -> None:
    (folder / name).write_bytes(PACKED[name](MEMBERS))

    found = expand(in_place, name)

    assert [loader.load(uri) for uri in found] == list(MEMBERS.values())
    assert all(uri.startswith("blob://") for uri in found)


@pytest.mark.parametrize("name", [*STANDING, *PACKED])
@pytest.mark.parametrize("uri", ["s3://bucket/shards/", "gs://bucket/shards/x.NAME"])
def test_archives_in_buckets_are_read_where_they_lie(
    object_store: ObjectStore, sources: Sources, loader: BytesLoader, name: str, uri: str
) -> None:
    object_store.objects[f"/bucket/shards/x.{name}"] = {**STANDING, **PACKED}[name](MEMBERS)

    found = expand(sources, uri.replace("NAME", name))

    assert [loader.load(uri) for uri in found] == list(MEMBERS.values())
    assert all(uri.startswith("blob://" if name in PACKED else uri[:2]) for uri in found)


def test_of_an_archive_in_a_bucket_little_more_than_headers_is_read(
    object_store: ObjectStore, blobs: Blobs, settings: Settings
) -> None:
    large = {f"{number}.png": bytes(9 * 2**20) for number in range(2)}
    object_store.objects["/bucket/large.tar"] = make_tar(large)

    found = expand(Sources(blobs, settings), "s3://bucket/large.tar")

    assert len(found) == 2
    assert object_store.sent < len(object_store.objects["/bucket/large.tar"]) * 0.8


def test_an_archive_that_has_changed_is_not_read(folder: Path, in_place: Sources, loader: BytesLoader) -> None:
    archive = folder / "a.tar"
    archive.write_bytes(make_tar(MEMBERS))
    first, *_ = expand(in_place, "a.tar")
    archive.write_bytes(make_tar({"other.png": b"another"}))

    assert expect_refusal(loader, first) == ErrorCode.BAD_ARCHIVE_MEMBER
    archive.unlink()
    assert expect_refusal(loader, first) == ErrorCode.NOT_FOUND


def test_an_archive_that_has_changed_in_its_bucket_is_not_read(
    object_store: ObjectStore, sources: Sources, loader: BytesLoader
) -> None:
    object_store.objects["/bucket/a.tar"] = make_tar(MEMBERS)
    first, *_ = expand(sources, "s3://bucket/a.tar")
    object_store.objects["/bucket/a.tar"] = make_tar({"other.png": b"another"})

    assert expect_refusal(loader, first) == ErrorCode.BAD_ARCHIVE_MEMBER
    del object_store.objects["/bucket/a.tar"]
    assert expect_refusal(loader, first) == ErrorCode.NOT_FOUND


def test_no_number_in_a_reference_leads_out_of_its_archive(folder: Path, loader: BytesLoader) -> None:
    (folder / "a.tar").write_bytes(bytes(100))
    status = (folder / "a.tar").stat()
    version = f"{status.st_size}-{status.st_mtime_ns}"

    def refuse(start: int, size: int) -> ErrorCode:
        return expect_refusal(loader, refer_to_span(refer_to_file(b"a.tar"), Span(start, size, version, "n")))

    assert refuse(90, 11) == refuse(101, 1) == refuse(10**17, 10**17) == ErrorCode.BAD_ARCHIVE_MEMBER
    assert refuse(0, 0) == ErrorCode.EMPTY
    for fragment in (
        "bytes=-1+5&of=1&name=n",
        "bytes=1+-5&of=1&name=n",
        "bytes=1+5&name=n",
        f"bytes={10**18}+1&of=1&name=",
    ):
        assert read_span(fragment) is None


def test_no_number_in_a_reference_leads_out_of_its_object(object_store: ObjectStore, loader: BytesLoader) -> None:
    object_store.objects["/bucket/a.tar"] = bytes(100)
    version = make_etag(bytes(100))

    for start, size in ((90, 11), (101, 1), (10**17, 10**17)):
        expect_refusal(loader, refer_to_span("s3://bucket/a.tar", Span(start, size, version, "n")))
    assert loader.load(refer_to_span("s3://bucket/a.tar", Span(90, 10, version, "n"))) == bytes(10)


@pytest.mark.parametrize("remote", [False, True])
def test_a_shard_that_is_cut_off_loses_nobody(
    folder: Path, object_store: ObjectStore, in_place: Sources, loader: BytesLoader, remote: bool
) -> None:
    data = make_tar({"a.png": b"a" * 600, "b.png": b"b" * 600})[:2300]
    (folder / "cut.tar").write_bytes(data)
    object_store.objects["/bucket/cut.tar"] = data

    whole, cut, archive = expand(in_place, "s3://bucket/cut.tar" if remote else "cut.tar")

    assert loader.load(whole) == b"a" * 600
    assert expect_refusal(loader, cut) == ErrorCode.BAD_ARCHIVE_MEMBER
    assert archive == ("s3://bucket/cut.tar" if remote else refer_to_file(b"cut.tar"))


def test_members_that_cannot_be_read_have_their_errors(folder: Path, in_place: Sources, loader: BytesLoader) -> None:
    (folder / "a.tar").write_bytes(make_tar({"empty.png": b"", "large.png": bytes(1001)}))
    data = bytearray(make_zip({"damaged.png": b"bytes", "good.png": b"bytes"}))
    data[0:4] = b"nope"
    (folder / "b.zip").write_bytes(data)

    empty, large, damaged, good = expand(in_place, "a.tar", "b.zip")

    assert expect_refusal(loader, empty) == ErrorCode.EMPTY
    assert expect_refusal(loader, large) == ErrorCode.TOO_LARGE
    assert expect_refusal(loader, damaged) == ErrorCode.BAD_ARCHIVE_MEMBER
    assert loader.load(good) == b"bytes"


def test_patterns_choose_among_members(folder: Path, blobs: Blobs, settings: Settings, loader: BytesLoader) -> None:
    (folder / "a.tar").write_bytes(make_tar({"a.png": b"a", "a.txt": b"caption", "no/b.png": b"b"}))
    (folder / "no.tar").write_bytes(make_tar({"c.png": b"c"}))

    found = expand(Sources(blobs, settings, Selection(("*.png",), ("no/*", "no.tar")), in_place=True), ".")

    assert [loader.load(uri) for uri in found] == [b"a"]


def test_too_many_members_refuse_the_archive(object_store: ObjectStore, sources: Sources) -> None:
    object_store.objects["/bucket/a.tar"] = make_tar({f"{number}": b"x" for number in range(6)})

    with pytest.raises(ArchiveTooLargeError, match="STARLIGHT_MAX_ARCHIVE_MEMBERS"):
        expand(sources, "s3://bucket/a.tar")


def test_an_archive_that_is_not_there_is_a_reference(object_store: ObjectStore, sources: Sources) -> None:
    object_store.objects["/bucket/x"] = b""

    assert expand(sources, "s3://bucket/a.tar") == ["s3://bucket/a.tar"]


@pytest.mark.parametrize("pack", [make_tar, PACKED["packed.tar.gz"]])
def test_an_archive_is_known_by_its_version(
    object_store: ObjectStore, blobs: Blobs, settings: Settings, pack: Callable[[dict[str, bytes]], bytes]
) -> None:
    object_store.objects[f"/bucket/{quote('p/a.tar.gz')}"] = pack(MEMBERS)
    found = list(Sources(blobs, settings).from_arguments(["s3://bucket/p/"], io.BytesIO()))
    known = KnownVersions(each for each in found if isinstance(each, ListedObject))
    assert expand(Sources(blobs, settings, known=known), "s3://bucket/p/") == []

    object_store.objects["/bucket/p/a.tar.gz"] = pack({"new.png": b"new"})

    assert len(expand(Sources(blobs, settings, known=known), "s3://bucket/p/")) == 1


def test_an_archive_that_changes_while_it_is_read_is_an_error_for_the_person(
    object_store: ObjectStore, sources: Sources
) -> None:
    object_store.objects["/bucket/a.tar"] = make_tar({f"{number}": bytes(3 * 2**20) for number in range(5)})
    found = iter(sources.from_arguments(["s3://bucket/a.tar"], io.BytesIO()))
    object_store.change_when_read = "/bucket/a.tar"

    # The next look of a watch.
    with pytest.raises(SourceAwayError, match="changed while it was read"):
        list(found)
