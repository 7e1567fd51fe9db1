"""What a person names becomes references, and every reference leads back to the bytes that were named."""

import io
import os
import subprocess
import tarfile
import zipfile
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path

import pytest

from producer.archives import ArchiveTooLargeError
from producer.cli.output import visible
from producer.sources import SourceError, Sources, display_name, file_reference
from storage.blobs import Blobs
from storage.error_codes import ErrorCode
from storage.settings import Settings
from tests.unit.threads import PATIENCE_S, started
from tests.unit.users import ordinary_user
from worker.loading import ImageError, Loader

ODD_NAMES = [
    b"plain.png",
    b"with space.png",
    "Grüße 世界 🌍.png".encode(),
    b"\xff\xfe\x80.png",
    b"two\nlines\r\n.png",
    b"\x1b[31mred\x07\x7f.png",
    "right\u202eto left \u2028.png".encode(),
    b"a%20b%.png",
    b"a#b?c&d=e;f.png",
    b"file:x.png",
    b"~user.png",
    b"-rf",
    b"[brackets]{braces}*?.png",
    b"'\"\\`$(x).png",
    b"...",
    b" ",
]
SECRET = b"the bytes that were named"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path / "data", max_image_bytes=1000, max_archive_members=5, max_archive_bytes=100_000)


@pytest.fixture
def blobs(settings: Settings) -> Blobs:
    return Blobs(settings.blobs())


@pytest.fixture
def loader(blobs: Blobs) -> Loader:
    return Loader(blobs, 1000)


@pytest.fixture
def sources(blobs: Blobs, settings: Settings) -> Sources:
    return Sources(blobs, settings)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, in which the test runs."""
    path = tmp_path / "folder"
    path.mkdir()
    monkeypatch.chdir(path)
    return path


def named(sources: Sources, *arguments: str, stdin: bytes = b"", separator: bytes = b"\n") -> list[str]:
    """Return the references, which must not take for ever."""
    references: Future[list[str]] = started(
        lambda: list(sources.from_arguments(arguments, io.BytesIO(stdin), separator=separator))
    )
    return references.result(PATIENCE_S)


def put(folder: Path, *names: str) -> list[str]:
    """Write a file under each name and return the references that are expected for them."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(SECRET)
    return references(folder, *names)


def references(folder: Path, *names: str) -> list[str]:
    return [(folder / name).as_uri() for name in names]


def code(loader: Loader, uri: str) -> ErrorCode:
    with pytest.raises(ImageError) as refusal:
        loader.load(uri)
    return refusal.value.code


def zipped(path: Path, names: Iterable[str]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, SECRET)
    return path


@pytest.mark.parametrize("name", ODD_NAMES)
def test_any_file_name_leads_back_to_its_bytes(folder: Path, sources: Sources, loader: Loader, name: bytes) -> None:
    path = os.fsencode(folder) + b"/" + name
    Path(os.fsdecode(path)).write_bytes(SECRET)

    found = named(sources, os.fsdecode(name))
    listed = named(sources, "-", stdin=name, separator=b"\0")
    below = named(sources, str(folder))

    assert found == listed == below == [file_reference(path)]
    assert loader.load(found[0]) == SECRET


@pytest.mark.parametrize("name", ODD_NAMES)
def test_any_file_name_is_a_reference_in_plain_ascii_and_is_shown_without_control_characters(name: bytes) -> None:
    uri = file_reference(b"/folder/" + name)

    assert uri.isascii()
    assert uri.isprintable()
    assert " " not in uri
    assert visible(display_name(uri)).isprintable()
    visible(display_name(uri)).encode()


@pytest.mark.parametrize("name", [name for name in ODD_NAMES if b"\xff" not in name])
def test_a_file_is_shown_as_it_stands_in_the_file_system(name: bytes) -> None:
    assert display_name(file_reference(b"/folder/" + name)) == f"/folder/{name.decode()}"


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("file:///a%20b", "/a b"),
        ("file:///a.zip#folder/%C3%BC", "/a.zip#folder/ü"),
        ("file:///a%23b", "/a#b"),
        ("blob://0123/a.zip/folder/%C3%BC", "a.zip/folder/ü"),
        ("blob://0123", "blob://0123"),
        ("s3://bucket/key%20", "s3://bucket/key%20"),
        ("https://host/a?b#c", "https://host/a?b#c"),
        ("no uri", "no uri"),
        ("", ""),
    ],
)
def test_references_are_shown_as_people_know_them(uri: str, shown: str) -> None:
    assert display_name(uri) == shown


def test_a_reference_that_is_no_uri_is_shown_as_it_is() -> None:
    assert display_name("http://[") == "http://["


def test_relative_paths_become_absolute(folder: Path, sources: Sources) -> None:
    expected = put(folder, "a.png", "sub/b.png")

    assert named(sources, "a.png", "./sub/../sub/b.png") == expected


def test_a_folder_stands_for_everything_below_it_in_the_order_of_names(folder: Path, sources: Sources) -> None:
    put(folder, "b/2.png", "a.png", "b/10.png", "c", "b/deep/er/x.txt", "B")
    (folder / "empty").mkdir()

    assert named(sources, ".") == references(folder, "B", "a.png", "b/10.png", "b/2.png", "b/deep/er/x.txt", "c")


@pytest.mark.parametrize("order", [("a", "b"), ("b", "a")])
def test_arguments_keep_their_order(folder: Path, sources: Sources, order: tuple[str, str]) -> None:
    put(folder, "a", "b")

    assert named(sources, *order) == references(folder, *order)


def test_an_argument_that_names_nothing_is_an_error_for_the_person(folder: Path, sources: Sources) -> None:
    with pytest.raises(SourceError, match=r"'missing\.png'"):
        named(sources, "missing.png")
    with pytest.raises(SourceError, match=r"nothing matches '\*\.png'"):
        named(sources, "*.png")
    with pytest.raises(SourceError, match=r"'\\udcff'"):
        named(sources, os.fsdecode(b"\xff"))


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("*.png", ["a.png", "b.png"]),
        ("?.txt", ["c.txt"]),
        ("[ab].png", ["a.png", "b.png"]),
        ("sub/*", ["sub/d.png", "sub/deep/e.png"]),
        ("**/*.png", ["a.png", "b.png", "sub/d.png", "sub/deep/e.png"]),
        ("*/deep/*.png", ["sub/deep/e.png"]),
    ],
)
def test_patterns_that_the_shell_left_alone_are_expanded(
    folder: Path, sources: Sources, pattern: str, expected: list[str]
) -> None:
    put(folder, "a.png", "b.png", "c.txt", "sub/d.png", "sub/deep/e.png")

    assert named(sources, pattern) == references(folder, *expected)


@pytest.mark.parametrize("pattern", ["**", "./**", "sub/**"])
def test_a_pattern_for_everything_gives_each_file_once(folder: Path, sources: Sources, pattern: str) -> None:
    expected = put(folder, "sub/d.png", "sub/deep/e.png")

    assert sorted(named(sources, pattern)) == expected


def test_a_file_whose_name_looks_like_a_pattern_is_that_file(folder: Path, sources: Sources) -> None:
    put(folder, "a.png", "[a].png", "*.png")

    assert named(sources, "[a].png", "*.png") == references(folder, "[a].png", "*.png")


@pytest.mark.parametrize(
    ("stdin", "separator"),
    [
        (b"a\nb c\n", b"\n"),
        (b"a\nb c", b"\n"),
        (b"a\r\nb c\r\n", b"\n"),
        (b"\n\na\n\n\nb c\n\n", b"\n"),
        (b"a\0b c\0", b"\0"),
        (b"a\0b c", b"\0"),
        (b"\0\0a\0\0b c\0\0", b"\0"),
    ],
)
def test_names_are_read_from_standard_input(folder: Path, sources: Sources, stdin: bytes, separator: bytes) -> None:
    expected = put(folder, "a", "b c")

    assert named(sources, "-", stdin=stdin, separator=separator) == expected


def test_a_list_of_names_ended_by_nul_may_have_newlines_in_them(folder: Path, sources: Sources) -> None:
    expected = put(folder, "two\nlines\n", "a\r")

    assert named(sources, "-", stdin=b"two\nlines\n\0a\r\0", separator=b"\0") == expected


@pytest.mark.parametrize("separator", [b"\n", b"\0"])
def test_a_long_list_is_read_in_pieces_without_a_seam(folder: Path, sources: Sources, separator: bytes) -> None:
    names = [b"%06d" % number + b"n" * (number % 50) for number in range(5000)]

    found = named(sources, "-", stdin=separator.join(names), separator=separator)

    assert found == [file_reference(name) for name in names]


def test_names_in_a_list_that_lead_nowhere_are_references_all_the_same(
    folder: Path, sources: Sources, loader: Loader
) -> None:
    found = named(sources, "-", stdin=b"missing.png\n*.png\nwith\0nul\n" + b"n" * 5000)

    assert [code(loader, uri) for uri in found] == [ErrorCode.NOT_FOUND] * 3 + [ErrorCode.NOT_READABLE]


def test_a_list_may_name_folders_and_archives(folder: Path, sources: Sources, loader: Loader) -> None:
    expected = put(folder, "sub/a.png")
    zipped(folder / "b.zip", ["c.png"])

    first, second = named(sources, "-", stdin=b"sub\nb.zip\n")

    assert [first] == expected
    assert display_name(second) == "b.zip/c.png"


@pytest.mark.parametrize(
    ("argument", "reference"),
    [
        ("s3://bucket/a key", "s3://bucket/a%20key"),
        ("https://host:80/a?b=c&d#e", "https://host:80/a?b=c&d#e"),
        ("file:///already%20encoded", "file:///already%20encoded"),
        ("https://host/ü\n", "https://host/%C3%BC%0A"),
    ],
)
def test_uris_are_references_already(folder: Path, sources: Sources, argument: str, reference: str) -> None:
    assert named(sources, argument) == [reference]
    assert named(sources, "-", stdin=argument.encode(), separator=b"\0") == [reference]


@pytest.mark.parametrize("argument", ["http://[", "//[", "//a\u2100b", os.fsdecode(b"http://host/\xff")])
def test_an_argument_that_looks_like_a_broken_uri_is_no_crash(folder: Path, sources: Sources, argument: str) -> None:
    with suppress(SourceError):
        named(sources, argument)


@pytest.mark.parametrize("target", [".", ".."])
def test_a_directory_loop_is_one_reference_and_the_rest_is_found(
    folder: Path, sources: Sources, loader: Loader, target: str
) -> None:
    put(folder, "sub/a.png", "sub/z.png")
    (folder / "sub" / "loop").symlink_to(target)

    found = named(sources, ".")

    assert found == references(folder, "sub/a.png", "sub/loop", "sub/z.png")
    assert code(loader, found[1]) == ErrorCode.DIRECTORY_LOOP


def test_a_link_to_itself_harms_itself_alone(folder: Path, sources: Sources, loader: Loader) -> None:
    put(folder, "a.png", "z.png")
    (folder / "link").symlink_to("link")

    found = named(sources, ".")

    assert found == references(folder, "a.png", "link", "z.png")
    assert code(loader, found[1]) == ErrorCode.NOT_READABLE


def test_lost_links_and_odd_files_are_references(folder: Path, sources: Sources, loader: Loader) -> None:
    (folder / "lost").symlink_to("nothing")
    os.mkfifo(folder / "pipe")
    (folder / "zero").symlink_to("/dev/zero")

    found = named(sources, ".")

    assert found == references(folder, "lost", "pipe", "zero")
    assert [code(loader, uri) for uri in found] == [ErrorCode.NOT_FOUND, ErrorCode.NOT_A_FILE, ErrorCode.NOT_A_FILE]


def test_links_to_files_are_followed(folder: Path, sources: Sources, loader: Loader) -> None:
    put(folder, "a.png")
    (folder / "b.png").symlink_to("a.png")

    assert [loader.load(uri) for uri in named(sources, ".")] == [SECRET, SECRET]


def test_a_folder_that_cannot_be_opened_is_one_reference(folder: Path, sources: Sources) -> None:
    put(folder, "a.png", "closed/b.png", "z.png")
    (folder / "closed").chmod(0)

    with ordinary_user():
        found = named(sources, ".")

    assert found == references(folder, "a.png", "closed", "z.png")


def test_a_link_into_a_closed_folder_harms_itself_alone(folder: Path, sources: Sources) -> None:
    put(folder, "a.png", "closed/inner/b.png", "z.png")
    (folder / "link").symlink_to("closed/inner")
    (folder / "closed").chmod(0)

    with ordinary_user():
        found = named(sources, ".")

    assert found == references(folder, "a.png", "closed", "link", "z.png")


def test_a_folder_that_vanishes_meanwhile_is_one_reference(folder: Path, sources: Sources, loader: Loader) -> None:
    put(folder, "a/1.png", "b/2.png", "c/3.png")
    found = sources.from_arguments(["."], io.BytesIO())

    first = next(found)
    (folder / "b" / "2.png").unlink()
    (folder / "b").rmdir()

    rest = list(found)
    assert [first, *rest] == references(folder, "a/1.png", "b", "c/3.png")
    assert code(loader, rest[0]) == ErrorCode.NOT_FOUND


@pytest.fixture
def deep(folder: Path) -> Iterator[Path]:
    """A file 1,100 folders deep; removed by a program that can, for Python's own ways are too shallow."""
    for _ in range(1100):
        os.mkdir("d")  # noqa: PTH102 - relative, one in the other
        os.chdir("d")
    Path("a.png").touch()
    yield folder
    subprocess.run(["rm", "-rf", folder / "d"], check=True)


def test_folders_may_be_as_deep_as_the_system_allows(deep: Path, sources: Sources) -> None:
    assert len(named(sources, str(deep))) == 1


def test_a_wide_folder_is_found_whole(folder: Path, sources: Sources) -> None:
    names = [f"{number:05}" for number in range(500)]
    for name in names:
        (folder / name).touch()

    assert named(sources, ".") == references(folder, *names)


@pytest.mark.parametrize("name", ["archive.zip", "ARCHIVE.ZIP", "ü \n.zip"])
def test_members_of_an_archive_are_stored_and_named(folder: Path, sources: Sources, loader: Loader, name: str) -> None:
    zipped(folder / name, ["a.png", "folder/two\nlines.png"])

    found = named(sources, name)

    assert [loader.load(uri) for uri in found] == [SECRET, SECRET]
    assert [display_name(uri) for uri in found] == [f"{name}/a.png", f"{name}/folder/two\nlines.png"]
    assert all(uri.isascii() and uri.isprintable() for uri in found)


def test_archives_in_folders_are_opened(folder: Path, sources: Sources) -> None:
    zipped(folder / "sub" / "b.zip", ["x.png"])
    put(folder, "sub/a.png", "sub/c.png")

    assert [display_name(uri) for uri in named(sources, ".")] == [
        str(folder / "sub/a.png"),
        "b.zip/x.png",
        str(folder / "sub/c.png"),
    ]


def test_a_folder_with_the_name_of_an_archive_is_a_folder(folder: Path, sources: Sources) -> None:
    expected = put(folder, "sub.zip/a.png", "deep/sub.tar/b.png")

    assert named(sources, "sub.zip") == expected[:1]
    assert named(sources, "deep") == expected[1:]


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "//etc/passwd", "folder/../../../x"])
def test_members_are_stored_under_their_content_whatever_their_name(
    folder: Path, sources: Sources, loader: Loader, settings: Settings, name: str
) -> None:
    zipped(folder / "archive.zip", [name])

    [uri] = named(sources, "archive.zip")

    assert loader.load(uri) == SECRET
    stored = [path for path in folder.parent.rglob("*") if path.is_file() and path.name != "archive.zip"]
    assert len(stored) == 1
    assert stored[0].is_relative_to(settings.data_dir)


def test_a_member_with_a_name_that_is_no_text_leads_to_its_bytes(
    folder: Path, sources: Sources, loader: Loader
) -> None:
    with tarfile.open(folder / "archive.tar", "w") as archive:
        entry = tarfile.TarInfo(os.fsdecode(b"\xff\xfe"))
        entry.size = len(SECRET)
        archive.addfile(entry, io.BytesIO(SECRET))

    [uri] = named(sources, "archive.tar")

    assert uri.endswith("/archive.tar/%FF%FE")
    assert loader.load(uri) == SECRET


def test_a_damaged_member_is_a_reference_that_says_so(folder: Path, sources: Sources, loader: Loader) -> None:
    zipped(folder / "archive.zip", ["a.png", "b c.png"])
    data = bytearray((folder / "archive.zip").read_bytes())
    data[data.rindex(SECRET)] ^= 0xFF
    (folder / "archive.zip").write_bytes(data)

    good, bad = named(sources, "archive.zip")

    assert loader.load(good) == SECRET
    assert bad == f"{(folder / 'archive.zip').as_uri()}#b%20c.png"
    assert code(loader, bad) == ErrorCode.BAD_ARCHIVE_MEMBER


def test_a_file_that_only_is_called_an_archive_is_an_image_like_others(
    folder: Path, sources: Sources, loader: Loader
) -> None:
    expected = put(folder, "archive.zip")

    assert named(sources, "archive.zip") == expected
    assert named(sources, ".") == expected
    assert loader.load(expected[0]) == SECRET


def test_a_lost_link_with_the_name_of_an_archive_is_not_found(folder: Path, sources: Sources, loader: Loader) -> None:
    (folder / "lost.zip").symlink_to("nothing")

    for argument in ("lost.zip", "."):
        [uri] = named(sources, argument)
        assert code(loader, uri) == ErrorCode.NOT_FOUND


def test_a_pipe_with_the_name_of_an_archive_does_not_hold_things_up(
    folder: Path, sources: Sources, loader: Loader
) -> None:
    os.mkfifo(folder / "pipe.zip")

    [uri] = named(sources, "pipe.zip")

    assert code(loader, uri) == ErrorCode.NOT_A_FILE


def test_a_pipe_with_the_name_of_an_archive_below_a_folder_does_not_hold_things_up(
    folder: Path, sources: Sources, loader: Loader
) -> None:
    os.mkfifo(folder / "pipe.zip")
    found = started(lambda: list(sources.from_arguments(["."], io.BytesIO())))

    try:
        [uri] = found.result(1)
    finally:
        if not found.done():
            # Free the thread that waits for somebody to write.
            os.close(os.open(folder / "pipe.zip", os.O_WRONLY | os.O_NONBLOCK))

    assert code(loader, uri) == ErrorCode.NOT_A_FILE


def test_a_member_beyond_the_limit_keeps_its_verdict_too_large(folder: Path, sources: Sources, loader: Loader) -> None:
    with zipfile.ZipFile(folder / "archive.zip", "w") as archive:
        archive.writestr("fits", bytes(1000))
        archive.writestr("large", bytes(1001))
        archive.writestr("huge", bytes(50_000))

    fits, large, huge = named(sources, "archive.zip")

    assert loader.load(fits) == bytes(1000)
    assert code(loader, large) == code(loader, huge) == ErrorCode.TOO_LARGE


def test_an_archive_of_too_many_members_is_refused_as_a_whole(folder: Path, sources: Sources) -> None:
    zipped(folder / "archive.zip", [str(number) for number in range(6)])

    with pytest.raises(ArchiveTooLargeError, match=r"archive\.zip"):
        named(sources, "archive.zip")
