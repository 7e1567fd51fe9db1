"""Archives named as sources, or found in folders."""

import io
import os
import tarfile
import zipfile
from pathlib import Path

import pytest

from producer.sources.archives import ArchiveTooLargeError
from producer.sources.expansion import Sources, format_reference
from starlight_vocabulary.words import ErrorCode
from storage.settings import Settings
from tests.kit.loading import BytesLoader
from tests.kit.names import SECRET, expand, expect_refusal, write_files, zip_files
from tests.kit.threads import PATIENCE_S, start_thread


@pytest.mark.parametrize("name", ["archive.zip", "ARCHIVE.ZIP", "ü \n.zip"])
def test_members_of_an_archive_are_stored_and_named(
    folder: Path, sources: Sources, loader: BytesLoader, name: str
) -> None:
    zip_files(folder / name, ["a.png", "folder/two\nlines.png"])

    found = expand(sources, name)

    assert [loader.load(uri) for uri in found] == [SECRET, SECRET]
    assert [format_reference(uri) for uri in found] == [f"{name}/a.png", f"{name}/folder/two\nlines.png"]
    assert all(uri.isascii() and uri.isprintable() for uri in found)


def test_archives_in_folders_are_opened(folder: Path, sources: Sources) -> None:
    zip_files(folder / "sub" / "b.zip", ["x.png"])
    write_files(folder, "sub/a.png", "sub/c.png")

    assert [format_reference(uri) for uri in expand(sources, ".")] == [
        str(folder / "sub/a.png"),
        "b.zip/x.png",
        str(folder / "sub/c.png"),
    ]


def test_a_folder_with_the_name_of_an_archive_is_a_folder(folder: Path, sources: Sources) -> None:
    expected = write_files(folder, "sub.zip/a.png", "deep/sub.tar/b.png")

    assert expand(sources, "sub.zip") == expected[:1]
    assert expand(sources, "deep") == expected[1:]


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "//etc/passwd", "folder/../../../x"])
def test_members_are_stored_under_their_content_whatever_their_name(
    folder: Path, sources: Sources, loader: BytesLoader, settings: Settings, name: str
) -> None:
    zip_files(folder / "archive.zip", [name])

    [uri] = expand(sources, "archive.zip")

    assert loader.load(uri) == SECRET
    stored = [path for path in folder.parent.rglob("*") if path.is_file() and path.name != "archive.zip"]
    assert len(stored) == 1
    assert stored[0].is_relative_to(settings.data_dir)


def test_a_member_with_a_name_that_is_no_text_leads_to_its_bytes(
    folder: Path, sources: Sources, loader: BytesLoader
) -> None:
    with tarfile.open(folder / "archive.tar", "w") as archive:
        entry = tarfile.TarInfo(os.fsdecode(b"\xff\xfe"))
        entry.size = len(SECRET)
        archive.addfile(entry, io.BytesIO(SECRET))

    [uri] = expand(sources, "archive.tar")

    assert uri.endswith("/archive.tar/%FF%FE")
    assert loader.load(uri) == SECRET


def test_a_damaged_member_is_a_reference_that_says_so(folder: Path, sources: Sources, loader: BytesLoader) -> None:
    zip_files(folder / "archive.zip", ["a.png", "b c.png"])
    data = bytearray((folder / "archive.zip").read_bytes())
    data[data.rindex(SECRET)] ^= 0xFF
    (folder / "archive.zip").write_bytes(data)

    good, bad = expand(sources, "archive.zip")

    assert loader.load(good) == SECRET
    assert bad == f"{(folder / 'archive.zip').as_uri()}#b%20c.png"
    assert expect_refusal(loader, bad) == ErrorCode.BAD_ARCHIVE_MEMBER


def test_a_file_that_only_is_called_an_archive_is_an_image_like_others(
    folder: Path, sources: Sources, loader: BytesLoader
) -> None:
    expected = write_files(folder, "archive.zip")

    assert expand(sources, "archive.zip") == expected
    assert expand(sources, ".") == expected
    assert loader.load(expected[0]) == SECRET


def test_a_lost_link_with_the_name_of_an_archive_is_not_found(
    folder: Path, sources: Sources, loader: BytesLoader
) -> None:
    (folder / "lost.zip").symlink_to("nothing")

    for argument in ("lost.zip", "."):
        [uri] = expand(sources, argument)
        assert expect_refusal(loader, uri) == ErrorCode.NOT_FOUND


def test_a_pipe_with_the_name_of_an_archive_does_not_hold_things_up(
    folder: Path, sources: Sources, loader: BytesLoader
) -> None:
    os.mkfifo(folder / "pipe.zip")

    [uri] = expand(sources, "pipe.zip")

    assert expect_refusal(loader, uri) == ErrorCode.NOT_A_FILE


def test_a_pipe_with_the_name_of_an_archive_below_a_folder_does_not_hold_things_up(
    folder: Path, sources: Sources, loader: BytesLoader
) -> None:
    os.mkfifo(folder / "pipe.zip")
    found = start_thread(lambda: list(sources.from_arguments(["."], io.BytesIO())))

    try:
        [uri] = found.result(PATIENCE_S)
    finally:
        if not found.done():
            # End the thread that waits for a writer.
            os.close(os.open(folder / "pipe.zip", os.O_WRONLY | os.O_NONBLOCK))

    assert expect_refusal(loader, uri) == ErrorCode.NOT_A_FILE


def test_a_member_beyond_the_limit_keeps_its_verdict_too_large(
    folder: Path, sources: Sources, loader: BytesLoader
) -> None:
    with zipfile.ZipFile(folder / "archive.zip", "w") as archive:
        archive.writestr("fits", bytes(1000))
        archive.writestr("large", bytes(1001))
        archive.writestr("huge", bytes(50_000))

    fits, large, huge = expand(sources, "archive.zip")

    assert loader.load(fits) == bytes(1000)
    assert expect_refusal(loader, large) == expect_refusal(loader, huge) == ErrorCode.TOO_LARGE


def test_an_archive_of_too_many_members_is_refused_as_a_whole(folder: Path, sources: Sources) -> None:
    zip_files(folder / "archive.zip", [str(number) for number in range(6)])

    with pytest.raises(ArchiveTooLargeError, match=r"archive\.zip"):
        expand(sources, "archive.zip")
